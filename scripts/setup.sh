#!/usr/bin/env bash
# Makes .venv and sees to the Debian packages that cpods' demo and tests use. Safe to run again: quiet when all is there.
# `setup.sh benchmarks` also installs the Python packages of the extra "benchmarks".
# Needs: bash, Python 3.11 or newer. Installs Debian packages only as root or with password-less sudo, else it names them.
set -eu
cd "$(dirname "$0")/.."
unset PYTHONPATH PYTHONHOME
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# The command that gives us root's rights: nothing for root itself, "no" if there is none.
root_command() {
    if [ "$(id -u)" = 0 ]; then echo ""
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then echo "sudo -n"
    else echo no
    fi
}

# apt_install PACKAGE...: installs, or says what to install and ends.
apt_install() {
    local root
    root=$(root_command)
    if [ "$root" = no ] || ! command -v apt-get >/dev/null 2>&1; then
        say "these Debian packages are missing: $*"
        fail "install them (as root: apt-get install --no-install-recommends $*) and start again."
    fi
    say "installing Debian packages: $*"
    local log
    log=$(mktemp)
    # One after the other, so that a stale package list is renewed before the first look-up.
    if $root apt-get -qq -o DPkg::Lock::Timeout=600 update >"$log" 2>&1 </dev/null &&
        $root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 \
            install --no-install-recommends "$@" >>"$log" 2>&1 </dev/null
    then
        rm -f "$log"
    else
        tail -n 20 "$log" >&2
        rm -f "$log"
        fail "apt-get could not install them; what it said stands above."
    fi
}

# The first Python that runs and is new enough; PYTHON=... chooses another.
find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3.14 python3 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
}

missing_packages() {
    local wanted
    wanted=$(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' scripts/apt-packages.txt | sort)
    # shellcheck disable=SC2086
    comm -23 <(echo "$wanted") \
        <({ dpkg-query -W -f '${Package} ${db:Status-Status}\n' $wanted 2>/dev/null || true; } | sed -n 's/ installed$//p' | sort -u)
}

# On other systems than Debian the programs count, not the packages.
missing_programs() {
    local program
    for program in pdflatex xelatex lualatex context mpost texindex bibtex biber makeindex makeglossaries latexmk gs gnuplot asy rsvg-convert gcc g++ ninja pdftotext pdftoppm ssh rsync faketime bwrap ps ip; do
        command -v "$program" >/dev/null 2>&1 || echo "$program"
    done
}

system_packages() {
    local missing
    if command -v dpkg-query >/dev/null 2>&1; then
        missing=$(missing_packages)
        # shellcheck disable=SC2086
        [ -z "$missing" ] || apt_install $missing
    else
        missing=$(missing_programs)
        [ -z "$missing" ] || fail "these programs are missing, install them and start again:" $missing
    fi
}

environment() {
    local python place content
    python=$(find_python)
    [ -n "$python" ] || fail "Python 3.11 or newer is needed (set PYTHON=... if it is not called python3)."
    # A virtual environment works only where, and with what, it was made.
    place="$PWD $python"
    content=$(cat pyproject.toml constraints.txt | cksum)
    [ "$(cat .venv/made-for 2>/dev/null)" != "$place / $content" ] || return 0

    if ! "$python" -c 'import venv, ensurepip' >/dev/null 2>&1; then
        say "$python has no venv module (Debian keeps it in a package of its own)."
        apt_install "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    fi
    case "$(cat .venv/made-for 2>/dev/null)" in
        "$place / "*) ;;
        *) rm -rf .venv; "$python" -m venv .venv ;;
    esac
    renew_pip
    install_python '.[dev]'
    echo "$place / $content" >.venv/made-for
}

# What `environment` made, and the extra "benchmarks".
benchmarks() {
    if ! cmp -s .venv/made-for .venv/benchmarks-for; then
        install_python '.[dev,benchmarks]'
        cp .venv/made-for .venv/benchmarks-for
    fi
}

# The pip that Python brings may be years old, and its start script for cpods loads a module that costs each call 8 ms.
# Where no newer one can be had, the old one does.
renew_pip() {
    .venv/bin/python -m pip install --disable-pip-version-check --no-input --retries 1 --timeout 10 --upgrade pip >.venv/pip.log 2>&1 </dev/null || true
}

install_python() {
    say "installing Python packages into .venv ($1)"
    if ! .venv/bin/python -m pip install --disable-pip-version-check --no-input -c constraints.txt -e "$1" >.venv/pip.log 2>&1 </dev/null; then
        tail -n 20 .venv/pip.log >&2
        fail "pip could not install them; what it said stands above, all of it in .venv/pip.log."
    fi
}

environment
[ "${1:-}" != benchmarks ] || benchmarks
system_packages
