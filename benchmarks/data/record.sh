#!/usr/bin/env bash
# Records the workloads of this folder anew. Usage: record.sh PYTHON SCRATCH     (PYTHON: one that has cpods)
# Needs: bash, apt-get with the source packages of Debian 12, dpkg-dev, cmake, ninja, gcc, libidn2-dev, TeX as examples/book needs it.
set -eu
python=$1
data=$(cd "$(dirname "$0")" && pwd)
root=$data/../..
scratch=$(mkdir -p "$2" && cd "$2" && pwd)
cd "$scratch"

# The machine's own package lists stay as they are: a view of the same mirror with sources, in a folder of its own.
apt=$scratch/.apt
mkdir -p "$apt/etc" "$apt/lists/partial"
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    [ -f "$file" ] || continue
    case $file in
        *.sources) sed 's/^Types:.*/Types: deb-src/' "$file" >"$apt/etc/$(basename "$file")" ;;
        *.list) sed -n 's/^deb /deb-src /p' "$file" >"$apt/etc/$(basename "$file")" ;;
    esac
done
options="-qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$apt/etc -o Dir::State::lists=$apt/lists"
# shellcheck disable=SC2086
for project in jansson curl; do
    ls -d "$project"-*/ >/dev/null 2>&1 || { apt-get $options update; apt-get $options source "$project"; }
done
version() { basename "$1"-*/; }

# What each project's own configuration makes is there before the build, as in a released archive.
rm -rf project .configured
mkdir -p project/jansson project/curl
cmake -S jansson-*/ -B .configured/jansson -G Ninja -DJANSSON_BUILD_DOCS=OFF >/dev/null
cp -r jansson-*/src .configured/jansson/include .configured/jansson/private_include project/jansson
cp jansson-*/test/suites/api/util.h project/jansson/include
cp -r jansson-*/test/suites/api project/jansson/tests
rm -f project/jansson/tests/util.h
cp "$data/jansson.toml" project/jansson/cpods.toml
for file in project/jansson/tests/*.c; do
    test=$(basename "$file" .c)
    cat >>project/jansson/cpods.toml <<END

[[step]]
chef = "compiler"
program = "bin/$test"
sources = ["tests/$test.c"]
include = ["include", "private_include", "src"]
cflags = ["-DHAVE_CONFIG_H", "-O2"]
ldflags = ["lib/libjansson.so", "-Wl,-rpath,\$ORIGIN/../lib"]

[[step]]
name = "$test"
run = "bin/$test > logs/$test.log"
tools = ["sh"]
inputs = ["bin/$test", "lib/libjansson.so"]
outputs = ["logs/$test.log"]
END
done

cmake -S curl-*/ -B .configured/curl -G Ninja -DCURL_ENABLE_SSL=OFF -DCURL_ZLIB=OFF -DCURL_USE_LIBSSH2=OFF -DCURL_USE_LIBPSL=OFF \
    -DENABLE_MANUAL=OFF -DBUILD_TESTING=OFF >/dev/null
cp -r curl-*/include curl-*/lib curl-*/src project/curl
cp .configured/curl/lib/curl_config.h project/curl/lib
cp "$data/curl.toml" project/curl/cpods.toml

record() {  # folder, name, what it is
    (cd "$root" && "$python" -m benchmarks.recorded "$1" "$2" --builds 2 --output "$data/$2.json" --made "$3, recorded by benchmarks/data/record.sh")
}
record "$root/examples/book" book "examples/book: a LaTeX document with a circle through a program"
record "$root/examples/program" program "examples/program: a C program of many small sources, and what it says about some data"
record "$scratch/project/jansson" jansson "$(version jansson), Debian 12's source package: the library, its test programs, each test run"
record "$scratch/project/curl" curl "$(version curl), Debian 12's source package: the library and the program"
