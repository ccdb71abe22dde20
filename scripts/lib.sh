# Sourced by the other scripts, not run: where the checkout is, and a virtual environment for it.
# `.venv` is made if it is missing, half made, of too old a Python or of another checkout, and filled again only when
# pyproject.toml or constraints.txt has changed.

# Some machines have Python keep no compiled files. Each process of the tests would compile all of them again.
unset PYTHONDONTWRITEBYTECODE

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv

fail() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    exit 1
}

say() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
}

# Prints the name of a Python that is new enough and can make virtual environments; fails if there is none. It looks
# into pyenv's own directory because pyenv's shims fail if the version in .python-version is not installed.
find_python() {
    local candidate
    for candidate in python3.13 python3.12 python3.11 python3 python \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[1-9]*/bin/python3; do
        if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

# Whether .venv was made elsewhere and came here when the checkout was moved or copied: it names its first place in many
# files, and there would run what that place has now.
is_of_another_checkout() {
    local made_at
    made_at=$(sed -n 's|^command = .* -m venv [^/]*/|/|p' "$venv/pyvenv.cfg" 2>/dev/null) || return 1
    [ -n "$made_at" ] && ! [ "$made_at" -ef "$venv" ]
}

# ensure_venv [EXTRA]: installs what pyproject.toml needs, with its EXTRA ("fast", or else "test", which has that too), at
# the pinned versions.
ensure_venv() {
    local extra=${1:-fast} stamp=$venv/.glimpse-installed wanted installed="" python
    wanted=$(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum)
    if is_of_another_checkout; then
        rm -rf "$venv"
    elif [ -x "$venv/bin/python" ] && [ -f "$stamp" ]; then
        installed=$(<"$stamp")
    fi
    if [ "$installed" = "$wanted test" ] || [ "$installed" = "$wanted $extra" ]; then
        return
    fi
    if ! "$venv/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$(find_python) || fail "Python 3.11 or newer is needed, with venv (on Debian or Ubuntu: apt install python3 python3-venv)"
        "$python" -m venv --clear "$venv" || fail "could not make a virtual environment in $venv"
    fi
    say "installing what is needed into .venv; this takes a minute, and is done once"
    rm -f "$stamp"
    (cd "$root" && "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --constraint constraints.txt --editable ".[$extra]") ||
        fail "pip could not install the dependencies: see above, and run this again"
    printf '%s\n' "$wanted $extra" >"$stamp"
}
