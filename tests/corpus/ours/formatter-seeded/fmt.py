import os
text = open('style.txt').read() if os.path.exists('style.txt') else '(((x)))'
if text.startswith('(') and text.endswith(')'):
    text = text[1:-1]
open('style.txt', 'w').write(text)
