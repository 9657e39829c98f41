"""What a .latexmkrc says, without Perl, and the project file that says the same to cpods.

Knows no chef and no file system: texts and listings come in, text goes out.
"""
