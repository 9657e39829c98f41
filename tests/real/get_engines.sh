#!/usr/bin/env bash
# Unpacks real documents for XeLaTeX, LuaLaTeX, DVI mode and Texinfo (sources as shipped in Debian 12) into DEST/<name>, and the
# fonts that they ask for into DEST/home, which the tests use as HOME: they need not be installed.
# Usage: get_engines.sh DEST      Needs: apt-get, dpkg; about 190 MB of downloads, kept in DEST/.debs.
set -eu
dest=$(mkdir -p "$1" && cd "$1" && pwd)
mkdir -p "$dest/.debs"
cd "$dest/.debs"
for package in texlive-latex-base-doc texlive-latex-recommended-doc texlive-luatex texlive-xetex texlive-font-utils bzip2-doc \
               fonts-texgyre fonts-texgyre-math fonts-inconsolata fonts-cmu; do
  ls "$package"_*.deb >/dev/null 2>&1 || apt-get download -q "$package"
done
for deb in *.deb; do dpkg -x "$deb" "$dest/.unpacked"; done
docs=$dest/.unpacked/usr/share/doc
take() {  # name, folder, main file
  rm -rf "${dest:?}/$1"; cp -aL "$docs/$2" "$dest/$1"
  find "$dest/$1" -name '*.gz' -exec gunzip -f {} +
  # remove what a build would make, so that every build starts clean
  find "$dest/$1" \( -name '*.aux' -o -name '*.log' -o -name '*.toc' -o -name '*.out' -o -name '*.idx' -o -name '*.ind' -o -name '*.bbl' \) -delete
  rm -f "$dest/$1/${3%.*}.pdf"
  test -f "$dest/$1/$3"
}
take fontspec texlive-doc/latex/fontspec fontspec-example.tex
take unicode-math texlive-doc/latex/unicode-math unimath-example.ltx
take xespotcolor texlive-doc/xelatex/xespotcolor spotcolor-test.tex
take xecyr-index texlive-doc/xelatex/xecyr rumakeindex-ex-x.tex
take xecyr-graphics texlive-doc/xelatex/xecyr xecyr-ex7-ru-x.tex
take odsfile texlive-doc/lualatex/odsfile odsfile.tex
take luatruthtable texlive-doc/lualatex/luatruthtable luatruthtable.tex
take luaset texlive-doc/lualatex/luaset luaset.tex
take luamaths texlive-doc/lualatex/luamaths luamaths.tex
take amsmath texlive-doc/latex/amsmath amsldoc.tex
take bzip2 bzip2 manual.texi
take mf2pt1 texlive-doc/support/mf2pt1 mf2pt1.texi
mkdir -p "$dest/home/.fonts" "$dest/home/texmf/fonts/opentype"
find "$dest/.unpacked/usr/share" \( -name 'texgyre*.otf' -o -iname 'inconsolata.otf' -o -name 'cmun*.ttf' \) -exec cp -L {} "$dest/home/.fonts" \;
cp "$dest"/home/.fonts/*.otf "$dest/home/texmf/fonts/opentype"
rm -rf "$dest/.unpacked"
ls "$dest" "$dest/home/.fonts"
