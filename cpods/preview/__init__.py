"""Live preview: documents on a loopback page that follows each stable build.

Knows no build: it is told that files were published, that a build goes on, or what is wrong, and looks at the files itself.
"""
