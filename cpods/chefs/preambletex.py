r"""The TeX program that runs a LaTeX document's preamble and dumps a format of it, instead of \begin{document}.

Knows no step. Own technique: the main file is read as it is. ``\begin`` is wrapped; at \begin{document} the state is checked
for what no format can hold, and dumped. The format begins by skipping as many lines of the main file as the preamble has,
opens again the files that the preamble had left open, puts back what it had left on the page (whatsits, marks), and goes on with the line
that says \begin{document}. What pdfTeX does not keep in a format (seen, 1.40.24: \pdfinfo, \pdfnames, \pdftrailer, map lines) is
said again; what cannot be said again (colour stacks, letterspaced fonts, the catalogue, random seeds) forbids the format, as do conditions,
groups, files open for reading, another date, text. On standard output: ``cpods: begins at line N``, or ``cpods: no: REASON``;
``cpods: opened N NAME``, ``cpods: closed N`` for files that are written.
"""

#: Behind a job's name: what the format, its log and its recorder file are called.
SUFFIX = ".cpods"

#: Said again when the format is loaded: primitives with one argument in braces.
_AGAIN = ("pdfinfo", "pdfnames", "pdftrailer", "pdfmapline", "pdfmapfile")
#: Not to be had in a format: primitive, its name in expl3, the reason.
_FORBIDDEN = (
    ("pdfcatalog", "pdfcatalog", "it sets pdfcatalog"),
    ("pdfcolorstackinit", "pdfcolorstackinit", "it makes a colour stack"),
    ("letterspacefont", "letterspacefont", "it loads a letterspaced font"),
    ("pdfsetrandomseed", "setrandomseed", "it seeds the random numbers"),
)

# Catcodes: @ is a letter, nothing else is changed; the last line needs an active end of line.
_BEGINNING = r"""
\begingroup\catcode64=11\relax
\gdef\cpods@why{}\gdef\cpods@again{}\gdef\cpods@tail{}
\gdef\cpods@because#1{\gdef\cpods@why{#1}}
\gdef\cpods@say#1{\immediate\write16{cpods: #1}}
\gdef\cpods@alias#1#2{\global\expandafter\let\csname#1\expandafter\endcsname\csname#2\endcsname}
\cpods@alias{cpods@stop}{@@end}
\cpods@alias{cpods@begin}{begin}
\cpods@alias{cpods@openout}{openout}
\cpods@alias{cpods@closeout}{closeout}
\cpods@alias{cpods@write}{write}
\cpods@alias{cpods@jobname}{jobname}
\xdef\cpods@date{\the\year.\the\month.\the\day.\the\time}
\xdef\jobname{\detokenize{JOB}}
\ifcsname tex_jobname:D\endcsname\cpods@alias{tex_jobname:D}{jobname}\fi
\ifcsname c_sys_jobname_str\endcsname\cpods@alias{c_sys_jobname_str}{jobname}\fi
"""

# Only an immediate \openout or \closeout is ours (the others are nodes of a page): \immediate is seen by what a \write leaves behind.
# The number is read by \chardef, then comes an optional =, then a file name, expanded token by token as TeX itself does it.
_WRITING = r"""
\gdef\cpods@mark{\expandafter\cpods@gobble\csname cpods@now\endcsname}
\gdef\cpods@gobble#1{}
\gdef\openout{\cpods@write-1{\cpods@mark}\cpods@ifnow\cpods@opening\cpods@openout}
\gdef\closeout{\cpods@write-1{\cpods@mark}\cpods@ifnow\cpods@closing\cpods@closeout}
\gdef\cpods@ifnow#1#2{\ifcsname cpods@now\endcsname\let\cpods@now\cpods@undefined\expandafter#1\else\expandafter#2\fi}
\gdef\cpods@opening{\afterassignment\cpods@open\chardef\cpods@n}
\gdef\cpods@closing{\afterassignment\cpods@close\chardef\cpods@n}
\gdef\cpods@open{\def\cpods@name{}\futurelet\cpods@t\cpods@equals}
\gdef\cpods@equals{\csname cpods@\ifx\cpods@t=drop\else scan\fi\endcsname}
\gdef\cpods@drop={\cpods@scan}
\gdef\cpods@scan{\futurelet\cpods@t\cpods@look}
\gdef\cpods@look{\csname cpods@
\ifx\cpods@t\@sptoken last\else\ifx\cpods@t\bgroup full\else\ifx\cpods@t\egroup full\else token\fi\fi\fi\endcsname}
\gdef\cpods@last{\afterassignment\cpods@full\let\cpods@t= }
\gdef\cpods@token#1{\csname cpods@\expandafter\ifx\noexpand#1#1\ifcat\relax\noexpand#1full\else add\fi\else more\fi\endcsname#1}
\gdef\cpods@more{\expandafter\cpods@scan}
\gdef\cpods@add#1{\edef\cpods@name{\cpods@name\string#1}\cpods@scan}
\gdef\cpods@full{\cpods@say{opened \number\cpods@n\space\cpods@name}
\global\expandafter\let\csname cpods@stream\number\cpods@n\endcsname\cpods@name
\immediate\cpods@openout\cpods@n=\cpods@name\space}
\gdef\cpods@close{\cpods@say{closed \number\cpods@n}\global\expandafter\let\csname cpods@stream\number\cpods@n\endcsname\cpods@undefined
\immediate\cpods@closeout\cpods@n}
"""

_REPEATING = r"""
\gdef\cpods@repeat#1#2{\begingroup\edef\cpods@a{#2}\xdef\cpods@again{\unexpanded\expandafter{\cpods@again}\noexpand#1{\unexpanded\expandafter{\cpods@a}}}\endgroup#1{#2}}
"""

_END = r"""
\protected\gdef\cpods@wrapper#1{\ifnum\pdfstrcmp{\detokenize{#1}}{document}=0 \expandafter\cpods@end\fi\cpods@begin{#1}}
\global\let\begin\cpods@wrapper
\gdef\cpods@end{\cpods@check\ifx\cpods@why\empty\else\cpods@say{no: \cpods@why}\cpods@stop\fi
\ifnum\lastnodetype=-1 \else\cpods@hold\fi
\cpods@streams0\xdef\cpods@lines{\number\numexpr\inputlineno-1}
\cpods@say{begins at line \the\inputlineno}
\let\begin\cpods@begin\let\openout\cpods@openout\let\closeout\cpods@closeout\let\jobname\cpods@jobname
\ifcsname tex_jobname:D\endcsname\cpods@alias{tex_jobname:D}{jobname}\fi
\cpods@restore\everyjob{\cpods@skip}\dump}
\gdef\cpods@check{\ifx\begin\cpods@wrapper\else\cpods@because{it redefines \string\begin}\fi
\ifnum\currentgrouplevel=0 \else\cpods@because{the document begins in a group}\fi
\ifnum\currentiflevel=1 \else\cpods@because{the document begins in a condition}\fi
\ifdim\pagegoal=\maxdimen\else\cpods@because{it typesets something}\fi
\ifvmode\else\cpods@because{it typesets something}\fi
\ifvoid255 \else\cpods@because{it typesets something}\fi
\ifnum\endlinechar=13 \else\cpods@because{it changes the ends of lines}\fi
\ifcsname ver@pdflscape.sty\endcsname\ifcsname ver@hyperref.sty\endcsname
\cpods@because{pdflscape turns pages with links, and where these lead depends on what else is in pdfTeX's memory}\fi\fi
\edef\cpods@a{\the\year.\the\month.\the\day.\the\time}\ifx\cpods@a\cpods@date\else\cpods@because{it changes the date}\fi
\cpods@reads0}
\gdef\cpods@reads#1{\ifeof#1 \else\cpods@because{it leaves a file open for reading}\fi
\ifnum#1<15 \expandafter\cpods@reads\expandafter{\number\numexpr#1+1\expandafter}\fi}
\gdef\cpods@streams#1{\ifcsname cpods@stream#1\endcsname
\xdef\cpods@again{\unexpanded\expandafter{\cpods@again}\immediate\noexpand\cpods@openout#1=\csname cpods@stream#1\endcsname\space}\fi
\ifnum#1<15 \expandafter\cpods@streams\expandafter{\number\numexpr#1+1\expandafter}\fi}
"""

# Nodes on a page without a box: an output routine of our own takes them off; what the last one was is told to \lastskip and its kin.
_HOLDING = r"""
\gdef\cpods@hold{\edef\cpods@tail{\unvbox32766 \prevdepth\the\prevdepth
\ifcase\numexpr\lastnodetype-11\relax\vskip\the\lastskip\relax\or\kern\the\lastkern\relax\or\penalty\the\lastpenalty\relax\fi}
\begingroup\vbadness10000 \vfuzz\maxdimen
\output{\global\setbox32766\vbox{\unvbox255 \setbox0\lastbox\unskip}\global\deadcycles0 }\hbox{}\penalty-10000 \endgroup}
"""

_SKIPPING = r"""
\gdef\cpods@skip{\begingroup\cpods@plain0\catcode13=13 \cpods@line}
\gdef\cpods@plain#1{\catcode#1=12 \ifnum#1<255 \expandafter\cpods@plain\expandafter{\number\numexpr#1+1\expandafter}\fi}
\catcode13=13 \gdef\cpods@line#1^^M{\ifnum\inputlineno<\cpods@lines\relax
\expandafter\cpods@line\else\endgroup\cpods@again\cpods@tail\fi}\endgroup
"""


def program(job: str) -> str:
    """One line for an engine's command line, to stand before the reading of the main file. ``job``: letters, digits, ``+-._``."""
    repeated, restored = [], []
    for name in _AGAIN:
        repeated.append(rf"\cpods@alias{{cpods@{name}}}{{{name}}}\gdef\{name}{{\cpods@repeat\cpods@{name}}}")
        restored.append(rf"\let\{name}\cpods@{name}")
    for name, other, reason in _FORBIDDEN:
        repeated.append(rf"\cpods@alias{{cpods@{name}}}{{{name}}}")
        for called in (name, f"tex_{other}:D"):
            repeated.append(
                rf"\ifcsname {called}\endcsname\expandafter\gdef\csname {called}\endcsname{{\cpods@because{{{reason}}}\cpods@{name}}}\fi"
            )
            restored.append(rf"\ifcsname {called}\endcsname\cpods@alias{{{called}}}{{cpods@{name}}}\fi")
    parts = [_BEGINNING.replace("JOB", job), _WRITING, _REPEATING, *repeated]
    parts += [r"\gdef\cpods@restore{" + "".join(restored) + "}", _END, _HOLDING, _SKIPPING]
    return "".join(part.replace("\n", "") for part in parts)
