#!/bin/bash
# Programs that kepgw's tests and demo take as judges, and what Python needs to make a virtual environment.
# Installs what is missing where that is allowed (root, or sudo without a password); says what to do where it is not.
set -eu

PYTHON="${PYTHON:-python3}"
missing=()

PATH="$PATH:/usr/sbin" # where daemons lie

need() { # PROGRAM PACKAGE
    command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}

need "$PYTHON" python3
need openssl openssl
need xmlsec1 xmlsec1
need swaks swaks
need curl curl
need msmtp msmtp
need pdfsig poppler-utils
need mbsync isync
need postfix postfix
need clamd clamav-daemon
need softhsm2-util softhsm2
"$PYTHON" -c 'import ensurepip, venv' >/dev/null 2>&1 || missing+=(python3-venv)

if [ "${#missing[@]}" -gt 0 ]; then
    as_root=()
    can_install=no
    if command -v apt-get >/dev/null 2>&1; then
        if [ "$(id -u)" = 0 ]; then
            can_install=yes
        elif command -v sudo >/dev/null 2>&1 && sudo -n true >/dev/null 2>&1; then
            can_install=yes
            as_root=(sudo -n)
        fi
    fi
    if [ "$can_install" = yes ]; then
        echo "setup: installing ${missing[*]}"
        # A stale package list is no reason to stop: the packages may be there all the same.
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq update </dev/null ||
            echo "setup: apt-get update failed, going on with the list that is there" >&2
        # The tests start a Postfix of their own; the machine's is neither set up nor started by being installed.
        [[ " ${missing[*]} " != *" postfix "* ]] ||
            echo "postfix postfix/main_mailer_type select No configuration" |
                "${as_root[@]}" debconf-set-selections 2>/dev/null || true
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get -qq -y --no-install-recommends install "${missing[@]}" </dev/null ||
            echo "setup: apt-get could not install ${missing[*]}" >&2
    else
        echo "setup: please install as root: apt-get install ${missing[*]}" >&2
        echo "setup: going on; tests that are judged by a missing program will FAIL, they do not skip" >&2
    fi
fi

if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "setup: kepgw needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..." >&2
    exit 1
fi
if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "setup: $PYTHON cannot make a virtual environment; install python3-venv" >&2
    exit 1
fi
