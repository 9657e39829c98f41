"""What latexmk's variables and subroutines mean to cpods: tables of those that need no handling of their own.

Knows no rc file.
"""

from cpods.latexmk.rcfile import DEFAULTS

#: Settings that are looked at together, when all are known.
LATER = frozenset(
    {
        "$pdf_mode",
        "$dvi_mode",
        "$postscript_mode",
        "@default_files",
        "@default_excluded_files",
        "$pre_tex_code",
        *(f"@extra_{engine}_options" for engine in ("pdflatex", "lualatex", "xelatex", "latex")),
        *(f"${engine}_default_switches" for engine in ("pdflatex", "lualatex", "xelatex", "latex")),
    }
)

_CLEANING = "`cpods clean` knows what was generated"
_VIEWING = "cpods starts no previewer; a viewer sees each new PDF"
_PRINTING = "cpods does not print"
_SPEAKING = "what cpods says is for its own options to decide"
_SEEING = "cpods sees what each run reads, misses and writes"
_ALWAYS = "cpods decides by content what must run; `cpods rebuild --force` runs all"

NOT_NEEDED = {
    **dict.fromkeys(("$clean_ext", "$clean_full_ext", "@generated_exts", "$cleanup_mode", "$cleanup_includes_generated"), _CLEANING),
    **dict.fromkeys(("$cleanup_includes_cusdep_generated", "$cleanup_fdb", "@final_output_exts"), _CLEANING),
    **dict.fromkeys((f"${kind}_previewer" for kind in ("pdf", "ps", "dvi")), _VIEWING),
    **dict.fromkeys((f"${kind}_previewer_landscape" for kind in ("ps", "dvi")), _VIEWING),
    **dict.fromkeys((f"${kind}_update_{what}" for kind in ("pdf", "ps", "dvi") for what in ("method", "signal", "command")), _VIEWING),
    **dict.fromkeys(("$view", "$preview_mode", "$preview_continuous_mode", "$new_viewer_always", "$sleep_time", "$pscmd"), _VIEWING),
    **dict.fromkeys(("$always_view_file_via_temporary", "$pvc_view_file_via_temporary", "$pvc_timeout", "$pvc_timeout_mins"), _VIEWING),
    **dict.fromkeys(("$pid_position", "$lpr_pdf", "$lpr", "$lpr_dvi", "$printout_mode", "$print_type"), _PRINTING),
    **dict.fromkeys(("$silent", "$silence_logfile_warnings", "$max_logfile_warnings", "$rc_report", "$show_time"), _SPEAKING),
    **dict.fromkeys(("$aux_out_dir_report", "$kpsewhich_show", "$diagnostics", "$logfile_warning_list"), _SPEAKING),
    **dict.fromkeys((f"${tool}_silent_switch" for tool in ("pdflatex", "lualatex", "xelatex", "latex", "bibtex", "biber")), _SPEAKING),
    **dict.fromkeys((f"${tool}_silent_switch" for tool in ("makeindex", "dvips", "dvipdf", "xdvipdfmx")), _SPEAKING),
    **dict.fromkeys(("$recorder", "@file_not_found", "$analyze_input_log_always", "$texfile_search", "$fdb_ext", "$fdb_ver"), _SEEING),
    **dict.fromkeys(("$kpsewhich", "$emulate_aux", "$allow_switch", "$fls_uses_out_dir", "$fls_uses_aux_dir", "@BIBINPUTS"), _SEEING),
    **dict.fromkeys(
        ("$bibtex_fudge", "$makeindex_fudge", "$quote_filenames", "$allow_subdir_creation", "$tmpdir"), "cpods has no need of it"
    ),
    **dict.fromkeys(("$auto_rc_use", "$search_path_separator", "$MSWin_back_slash", "$normalize_names"), "cpods has no need of it"),
    **dict.fromkeys(("$go_mode", "$user_deleted_file_treated_as_changed"), _ALWAYS),
    "$force_mode": "a pass with errors goes on to the next one anyway; `cpods rebuild --keep-unstable` publishes the last one",
    "$dependents_list": "`cpods deps DOCUMENT` lists dependencies",
    "$dependents_phony": "`cpods deps DOCUMENT --format make` writes phony targets",
    "$deps_file": "`cpods deps DOCUMENT --format make > FILE` writes dependencies",
    "$bad_warning_is_error": "cpods fails on errors only",
}

_FOLDERS = "cpods puts what a document makes beside it (or into its cwd); say `-C` or cwd instead of another folder"
_AFTER = "cpods runs no command around a build; write `cpods rebuild && …`"
_STEP = "declare a [[step]] for it"
_TOOL = "cpods runs this tool with the options that documents need; a rule can run it otherwise"

_REFUSED = {
    **dict.fromkeys(("$out_dir", "$aux_dir", "$out2_dir", "$del_dir"), _FOLDERS),
    **dict.fromkeys(("$success_cmd", "$failure_cmd", "$warning_cmd", "$compiling_cmd"), _AFTER),
    **dict.fromkeys(("$dvi_filter", "$ps_filter", "$banner", "$banner_message", "$banner_scale", "$banner_intensity"), _STEP),
    **dict.fromkeys(("$use_make_for_missing_files", "$make"), "cpods calls no make; " + _STEP),
    **dict.fromkeys(("$bibtex", "$biber", "$dvips", "$dvipdf", "$ps2pdf", "$xdvipdfmx", "$dvips_landscape", "$dvips_pdf_switch"), _TOOL),
    "$landscape_mode": "the document decides its paper",
    "$warnings_as_errors": "cpods fails on errors only",
    "@cus_dep_list": "custom dependencies are read from add_cus_dep alone",
}

#: Values of refused variables that say what happens anyway.
_HARMLESS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("$out_dir", "$aux_dir", "$out2_dir", "$del_dir"), frozenset({"", "."})),
    **dict.fromkeys(("$banner", "$use_make_for_missing_files", "$landscape_mode", "$warnings_as_errors"), frozenset({"0"})),
    **{name: frozenset({value, value.replace("%O ", "")}) for name, value in DEFAULTS.items() if name in _REFUSED},
    "$dvips": frozenset({"dvips %O -o %D %S"}),
    "$ps2pdf": frozenset({"ps2pdf %O %S %D", "ps2pdf -dALLOWPSTRANSPARENCY %O %S %D"}),
}

CALLS_NOT_NEEDED = {
    "add_input_ext": _SEEING,
    "show_cus_dep": _SPEAKING,
    "add_hook": "cpods runs no Perl around a step",
}

#: Variables that every TeX tool gets from the caller's environment.
PASSED_ON = frozenset(
    {"TEXINPUTS", "BIBINPUTS", "BSTINPUTS", "LUAINPUTS", "INDEXSTYLE", "TEXMFHOME", "TEXMFLOCAL", "OSFONTDIR", "TEXFONTS"}
) | {
    "TFMFONTS",
    "OPENTYPEFONTS",
    "TTFONTS",
    "T1FONTS",
    "TEXPICTS",
    "TEXMFCNF",
    "PERL5LIB",
    "TEXINPUTS_pdflatex",
    "TEXINPUTS_lualatex",
    "TEXINPUTS_xelatex",
    "TZ",
    "LANG",
    "LC_ALL",
    "SOURCE_DATE_EPOCH",
    "openin_any",
    "openout_any",
}
LOG_SHAPE = frozenset({"max_print_line", "error_line", "half_error_line", "FORCE_SOURCE_DATE"})
#: Endings of files whose lines change only by the date.
DATED = frozenset({"pdf", "ps", "dvi", "eps"})

#: What cpods runs by itself when a document asks for it: by endings, and by program.
BUILT_IN_PAIRS = {
    ("idx", "ind"): "makeindex",
    ("nlo", "nls"): "makeindex for nomencl",
    ("glo", "gls"): "makeglossaries",
    ("acn", "acr"): "makeglossaries",
    ("acr", "acn"): "makeglossaries",
}
BUILT_IN_PROGRAMS = frozenset(
    {"makeglossaries", "makeglossaries-lite", "bib2gls", "biber", "bibtex", "pythontex", "splitindex", "asy", "mpost", "epstopdf"}
)


def refusal(name: str, value: str | list[str] | None) -> str | None:
    """Why a setting cannot be taken; None if it can, or says what happens anyway."""
    if name.startswith(("$extra_rule_spec", "%extra_rule_spec")):
        return _STEP
    why = _REFUSED.get(name)
    return None if why is None or (isinstance(value, str) and value in _HARMLESS.get(name, frozenset())) else why


def is_known(name: str) -> bool:
    """Whether a name is in one of the tables of this module."""
    return name in _REFUSED or name in NOT_NEEDED or name in LATER
