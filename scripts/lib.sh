# shellcheck shell=bash
# Functions shared by the scripts in this folder: `. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"`.
#
# What is fetched or built goes to one cache folder, never into the clone and never into the system:
#   ORCAPOOL_CACHE     the cache folder        (default ${XDG_CACHE_HOME:-~/.cache}/orcapool)
#   CARGO_TARGET_DIR   what cargo builds       (default <cache>/target)
#   ORCAPOOL_BITCOIND  a bitcoind of your own  (default: see get-bitcoind)
# Progress goes to stderr, results to stdout, so that a script's last line of output can be used by another.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly ROOT
# Kept in step with `rust-version` of Cargo.toml. There is no rust-toolchain file on purpose: rustup would answer it with
# a download even where a newer compiler is already installed.
readonly RUSTC_NEEDED=1.95
# The oldest node whose block templates, ZMQ notices and test chains are what the pool expects.
# shellcheck disable=SC2034 # used by get-bitcoind
readonly BITCOIND_NEEDED=27

# One line of progress, with the time of day.
log() { printf '%s  %s\n' "$(date +%H:%M:%S)" "$*" >&2; }

# The end: what is wrong and, in further arguments, what to do about it.
die() {
    printf '%s  error: %s\n' "$(date +%H:%M:%S)" "$1" >&2
    shift
    if (($# > 0)); then printf '          %s\n' "$@" >&2; fi
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# need COMMAND HOW: ends unless the command is there.
need() { have "$1" || die "\`$1\` is needed and not installed" "$2"; }

# as_duration SECONDS: 75 -> 1m15s
as_duration() { if (($1 < 60)); then printf '%ds' "$1"; else printf '%dm%02ds' $(($1 / 60)) $(($1 % 60)); fi; }

# version_at_least HAVE WANTED: compares dotted versions; anything after the digits of a part is ignored.
version_at_least() {
    local IFS=. i
    local -a have_parts wanted_parts
    read -ra have_parts <<<"$1"
    read -ra wanted_parts <<<"$2"
    for i in "${!wanted_parts[@]}"; do
        local h=${have_parts[i]:-0} w=${wanted_parts[i]}
        h=${h%%[!0-9]*}
        ((10#${h:-0} > 10#$w)) && return 0
        ((10#${h:-0} < 10#$w)) && return 1
    done
    return 0
}

# Sets and makes the cache folder, and cargo's target folder in it.
use_cache() {
    if [[ -z ${ORCAPOOL_CACHE:-} ]]; then
        [[ -n ${XDG_CACHE_HOME:-} || -n ${HOME:-} ]] ||
            die "neither HOME nor XDG_CACHE_HOME is set" "Set ORCAPOOL_CACHE to a folder for downloads and builds (about 12 GB)."
        ORCAPOOL_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/orcapool
    fi
    if ! mkdir -p "$ORCAPOOL_CACHE" 2>/dev/null || [[ ! -w $ORCAPOOL_CACHE ]]; then
        die "cannot write to $ORCAPOOL_CACHE" "Set ORCAPOOL_CACHE to a folder for downloads and builds (about 12 GB)."
    fi
    ORCAPOOL_CACHE=$(cd "$ORCAPOOL_CACHE" && pwd)
    export ORCAPOOL_CACHE
    export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$ORCAPOOL_CACHE/target}
    disown_other_builds
}

# Cargo knows a workspace member by its path within the workspace, and what is fresh by its age: of two clones that share a
# target folder, the older one would get the newer one's crates. So sources become new when another clone built last.
disown_other_builds() {
    local mark=$CARGO_TARGET_DIR/built-from
    mkdir -p "$CARGO_TARGET_DIR"
    if [[ ! -f $mark || $(<"$mark") != "$ROOT" ]]; then
        find "$ROOT" -name target -prune -o \( -name '*.rs' -o -name Cargo.toml \) -exec touch {} +
        printf '%s\n' "$ROOT" >"$mark"
    fi
}

# Ends unless this machine can compile the workspace: rustc, cargo, a C compiler (SQLite, ring).
need_compilers() {
    local how="Install it with rustup (https://rustup.rs): rustup toolchain install stable"
    # A shell that did not read the user's profile does not find rustup's folder by itself.
    if ! have cargo && [[ -x ${CARGO_HOME:-${HOME:-}/.cargo}/bin/cargo ]]; then
        PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
        export PATH
    fi
    need rustc "Rust $RUSTC_NEEDED or newer builds orcapool. $how"
    need cargo "$how"
    local version
    version=$(cd "$ROOT" && rustc --version | awk '{print $2}')
    version_at_least "$version" "$RUSTC_NEEDED" ||
        die "rustc $version is older than $RUSTC_NEEDED" "Update it: rustup update stable"
    local cc=${CC:-cc}
    have "${cc%% *}" || die "no C compiler (\`$cc\`)" \
        "SQLite and the TLS library are compiled from C. Debian/Ubuntu: apt-get install gcc libc6-dev; Fedora: dnf install gcc"
    log "rustc $version, $("${cc%% *}" --version 2>/dev/null | head -n 1)"
}

# Finds or fetches a bitcoind and exports its path as ORCAPOOL_BITCOIND.
use_bitcoind() {
    local said
    said=$("$ROOT/scripts/get-bitcoind") || exit 1
    ORCAPOOL_BITCOIND=$(tail -n 1 <<<"$said")
    export ORCAPOOL_BITCOIND
}

# use_program pool|selftest: builds the K2 program and exports its path as ORCAPOOL_K2_PROGRAM; or the program the tool chain is
# tested with, as ORCAPOOL_SBF_SELFTEST.
use_program() {
    local said
    if [[ $1 == selftest ]]; then
        said=$("$ROOT/scripts/build-program" --selftest) || exit 1
        ORCAPOOL_SBF_SELFTEST=$(tail -n 1 <<<"$said")
        export ORCAPOOL_SBF_SELFTEST
    else
        said=$("$ROOT/scripts/build-program") || exit 1
        ORCAPOOL_K2_PROGRAM=$(tail -n 1 <<<"$said")
        export ORCAPOOL_K2_PROGRAM
    fi
}

readonly NODE_NEEDED=20 HOW_NODE="Install Node.js 20 or newer with npm (https://nodejs.org; Debian: apt-get install nodejs npm)."

# need_node WHY: ends unless node runs here, new enough.
need_node() {
    local version
    need node "$1 $HOW_NODE"
    version=$(node --version)
    version_at_least "${version#v}" "$NODE_NEEDED" || die "node $version is older than $NODE_NEEDED" "$HOW_NODE"
}

# npm_cached VARIABLE NAME FROM WHAT [OPTION OF npm ci...]: exports as VARIABLE a folder of the cache with the node_modules that
# FROM/package-lock.json names. WHAT is fetched is for people.
npm_cached() {
    local -n cached=$1
    local from=$3 what=$4
    cached=$ORCAPOOL_CACHE/$2-$(cat "$from"/package{,-lock}.json | cksum | cut -d ' ' -f 1)
    export "${1?}"
    shift 4
    only_one "$cached.lock"
    [[ ! -e $cached/complete ]] || return 0
    need npm "$HOW_NODE"
    rm -rf "$cached"
    mkdir -p "$cached"
    cp "$from"/package{,-lock}.json "$cached"
    log "fetching $what"
    npm_ci "$cached" "$what" "$@"
    touch "$cached/complete"
}

# npm_ci FOLDER WHAT [OPTION...]. Without scripts, no package runs anything of its own here.
npm_ci() {
    local folder=$1 what=$2
    shift 2
    (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error --cache "$ORCAPOOL_CACHE/npm" "$@") >&2 ||
        die "npm could not fetch $what" "The registry of npm must be reachable, once."
}

# The stock Solana client for JavaScript, as ORCAPOOL_WEB3.
use_web3() {
    local wanted=$ROOT/k2-program/local/web3
    need_node "It runs the stock Solana client in the tests."
    if [[ -n ${ORCAPOOL_WEB3:-} ]]; then
        [[ -d $ORCAPOOL_WEB3/node_modules/@solana/web3.js ]] ||
            die "no node_modules/@solana/web3.js in ORCAPOOL_WEB3=$ORCAPOOL_WEB3" "Unset it, or run \`npm ci\` there with the files of $wanted."
        export ORCAPOOL_WEB3
    else
        # Their native parts are optional.
        npm_cached ORCAPOOL_WEB3 web3 "$wanted" "@solana/web3.js and @solana/spl-token (41 MB unpacked)" --omit=optional
    fi
}

# An IPFS node with Kubo's RPC API, js-ipfs, as ORCAPOOL_IPFS_NODE. (Kubo itself comes from no package registry.)
use_ipfs() {
    local wanted=$ROOT/tests/ipfs
    need_node "It runs the IPFS node of the tests."
    if [[ -n ${ORCAPOOL_IPFS_NODE:-} ]]; then
        [[ -x $ORCAPOOL_IPFS_NODE/node_modules/.bin/jsipfs ]] ||
            die "no node_modules/.bin/jsipfs in ORCAPOOL_IPFS_NODE=$ORCAPOOL_IPFS_NODE" "Unset it, or run \`npm ci\` there with the files of $wanted."
        export ORCAPOOL_IPFS_NODE
    else
        # Without optional ones, no browser comes along.
        npm_cached ORCAPOOL_IPFS_NODE ipfs "$wanted" "js-ipfs (300 MB unpacked, some minutes)" --omit=optional
    fi
}

# Copies orca-config to the cache and fetches there the packages that its package-lock.json names, so that nothing is written into
# the clone; sets ORCAPOOL_ORCA to the folder. Fails, with the reason in ORCA_MISSING, where there is no node or npm.
use_orca() {
    local from=$ROOT/orca-config version tool
    [[ -z ${ORCAPOOL_ORCA:-} ]] || return 0
    for tool in node npm; do
        have "$tool" || { ORCA_MISSING="$tool is not installed (Node.js 20 or newer with npm: https://nodejs.org)"; return 1; }
    done
    version=$(node --version)
    # shellcheck disable=SC2034 # used by test
    version_at_least "${version#v}" "$NODE_NEEDED" || { ORCA_MISSING="node $version is older than $NODE_NEEDED"; return 1; }
    ORCAPOOL_ORCA=$ORCAPOOL_CACHE/orca-$(cat "$from"/package{,-lock}.json | cksum | cut -d ' ' -f 1)
    only_one "$ORCAPOOL_ORCA.lock"
    mkdir -p "$ORCAPOOL_ORCA"
    find "$ORCAPOOL_ORCA" -mindepth 1 -maxdepth 1 ! -name node_modules ! -name complete -exec rm -rf {} +
    tar -C "$from" --exclude=./node_modules --exclude=./dist -cf - . | tar -C "$ORCAPOOL_ORCA" -xf -
    [[ ! -e $ORCAPOOL_ORCA/complete ]] || return 0
    log "fetching the packages of orca-config (75 MB unpacked)"
    npm_ci "$ORCAPOOL_ORCA" "the packages of orca-config"
    touch "$ORCAPOOL_ORCA/complete"
}

# Koii's published Orca client, which the test in tests/orca-client drives a node with, as ORCAPOOL_ORCA_CLIENT. After use_orca.
use_orca_client() {
    if [[ -z ${ORCAPOOL_ORCA_CLIENT:-} ]]; then
        npm_cached ORCAPOOL_ORCA_CLIENT orca-client "$ROOT/tests/orca-client" "Koii's published Orca client (11 MB unpacked)"
    fi
}

# only_one LOCK: waits until no other run works below this lock file. It is held until the script ends, by the descriptor LOCKS[LOCK].
declare -A LOCKS=()
only_one() {
    local descriptor
    if ! have flock || [[ -n ${LOCKS[$1]-} ]]; then return 0; fi
    exec {descriptor}>"$1"
    if ! flock --nonblock "$descriptor"; then
        log "waiting for another run that holds $1"
        flock "$descriptor"
    fi
    LOCKS[$1]=$descriptor
}

# The pinned version of a tool in requirements-tools.txt.
pinned() { sed -n "s/^astral-dev-toolchain-$1==\([0-9.]*\).*/\1/p" "$ROOT/scripts/requirements-tools.txt"; }

# pip_into DIR REQUIREMENTS: the pinned, ready-built packages of a requirements file into DIR, programs into DIR/bin; an
# environment with a python of its own where the machine's python has no pip. Fails where there is no such wheel or no network.
pip_into() {
    local dir=$1 python
    local -a install=(-m pip install --quiet --disable-pip-version-check --no-input --no-deps --only-binary ":all:" --require-hashes --requirement "$2")
    for python in python3 /usr/bin/python3; do
        if "$python" -m pip --version >/dev/null 2>&1; then
            PIP_ROOT_USER_ACTION=ignore "$python" "${install[@]}" --target "$dir" >&2
            return
        fi
    done
    # A python without pip may still be able to make an environment that has one.
    have python3 && python3 -m venv "$dir" >/dev/null 2>&1 || return 1
    PIP_ROOT_USER_ACTION=ignore "$dir/bin/python" "${install[@]}" >&2
}

# use_electrumx: an environment with ElectrumX, exactly as requirements-electrumx.txt names it, and the path of its server in
# ORCAPOOL_ELECTRUMX. Fails where that cannot be had, and leaves the reason in ELECTRUMX_MISSING.
use_electrumx() {
    if [[ -n ${ORCAPOOL_ELECTRUMX:-} ]]; then
        [[ -x $ORCAPOOL_ELECTRUMX ]] || die "ORCAPOOL_ELECTRUMX=$ORCAPOOL_ELECTRUMX is no program" "Unset it, or let it name an electrumx_server."
        export ORCAPOOL_ELECTRUMX
        return
    fi
    # shellcheck disable=SC2034 # for the caller
    have python3 || { ELECTRUMX_MISSING="no python3 here"; return 1; }
    local wanted=$ROOT/scripts/requirements-electrumx.txt dir
    dir=$ORCAPOOL_CACHE/electrumx-$({ cat "$wanted"; python3 -c 'import sys; print(sys.prefix, sys.version)'; } | cksum | cut -d ' ' -f 1)
    only_one "$dir.lock"
    if [[ ! -e $dir/complete ]]; then
        rm -rf "$dir"
        log "fetching ElectrumX from PyPI (11 MB)"
        if ! python3 -m venv "$dir" >/dev/null 2>&1; then
            ELECTRUMX_MISSING="python3 cannot make an environment (Debian: apt-get install python3-venv)"
            return 1
        fi
        local -a install=("$dir/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes --only-binary ":all:")
        # The first without e-x, which needs its setuptools.
        if ! "${install[@]}" --requirement <(sed '/^e-x==/,$d' "$wanted") >&2 ||
            ! "${install[@]}" --no-binary e-x --no-build-isolation --requirement "$wanted" >&2; then
            # shellcheck disable=SC2034 # for the caller
            ELECTRUMX_MISSING="PyPI is not reachable, or has nothing ready-built for $(python3 --version) on $(uname -sm)"
            return 1
        fi
        touch "$dir/complete"
    fi
    export ORCAPOOL_ELECTRUMX=$dir/bin/electrumx_server
}

# use_cargo_tools: puts `cargo deny` and `cargo fuzz` into the PATH; those already there are taken.
use_cargo_tools() {
    local tool version tools missing=()
    for tool in cargo-deny cargo-fuzz; do have "$tool" || missing+=("$tool"); done
    if ((${#missing[@]} > 0)); then
        tools=$ORCAPOOL_CACHE/tools-$(cksum <"$ROOT/scripts/requirements-tools.txt" | cut -d ' ' -f 1)
        only_one "$tools.lock"
        if [[ ! -e $tools/complete ]]; then
            rm -rf "$tools"
            log "fetching ready-built ${missing[*]} from PyPI (6 MB)"
            if ! pip_into "$tools" "$ROOT/scripts/requirements-tools.txt"; then
                log "no ready-built ones for this machine: compiling ${missing[*]} (about 10 minutes, once)"
                rm -rf "$tools"
                for tool in "${missing[@]}"; do
                    cargo install --locked --quiet --root "$tools" --version "$(pinned "$tool")" "$tool" >&2 ||
                        die "$tool could not be installed" "cargo install --locked $tool"
                done
            fi
            touch "$tools/complete"
        fi
        export PATH="$tools/bin:$PATH"
    fi
    for tool in cargo-deny cargo-fuzz; do
        version=$("$tool" --version 2>&1) || die "\`$tool --version\` fails: $version" "Remove $(command -v "$tool") and run this again."
        log "$version ($(command -v "$tool"))"
    done
}
