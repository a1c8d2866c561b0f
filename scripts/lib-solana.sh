# shellcheck shell=bash
# The Solana runtimes in which recorded scenarios are replayed: `. "$(dirname "${BASH_SOURCE[0]}")/lib-solana.sh"` after lib.sh
# and lib-debian.sh. What they are and why there are two: k2-program/engines/README.md.

readonly ENGINES=$ROOT/k2-program/engines

# use_solana_1_15: the command that replays in Solana 1.15.2 in the array SOLANA_1_15. Fails where PyPI has no such wheel or
# cannot be reached, and leaves the reason in SOLANA_1_15_MISSING.
use_solana_1_15() {
    local requirements=$ENGINES/solana-1.15/requirements.txt dir python=python3
    dir=$ORCAPOOL_CACHE/solana-1.15-$(cksum <"$requirements" | cut -d ' ' -f 1)
    if [[ ! -e $dir/complete ]]; then
        only_one "$ORCAPOOL_CACHE/solana-1.15.lock"
        if [[ ! -e $dir/complete ]]; then
            rm -rf "$dir"
            log "fetching Solana 1.15.2 as the Python package solders from PyPI (16 MB)"
            if ! pip_into "$dir" "$requirements"; then
                rm -rf "$dir"
                # shellcheck disable=SC2034 # for the caller
                SOLANA_1_15_MISSING="the Python package solders 0.15.0 could not be fetched (Python 3.9 or newer with pip is needed, and a wheel for this machine)"
                return 1
            fi
            touch "$dir/complete"
        fi
    fi
    # pip_into makes an environment where python3 has no pip of its own.
    if [[ -x $dir/bin/python ]]; then python=$dir/bin/python; fi
    # shellcheck disable=SC2034 # for the caller
    SOLANA_1_15=(env "PYTHONPATH=$dir" "$python" "$ENGINES/solana-1.15/replay.py")
}

# The compiler of that time. Debian 12 has it for all of its life; 1.63 is also the newest whose code 1.14's JIT gets on with.
readonly SOLANA_1_14_RUST=1.63 SOLANA_1_14_SUITE=bookworm

# use_solana_1_14: the program that replays in Solana 1.14.19 in SOLANA_1_14. It is compiled when the lockfile or the
# replayer's sources are new. Fails where that cannot be done, and leaves the reason in SOLANA_1_14_MISSING.
use_solana_1_14() {
    local cache=$ORCAPOOL_CACHE/solana-1.14 source=$ENGINES/solana-1.14 key started=$SECONDS
    key=$(cat "$source"/Cargo.{toml,lock} "$source"/src/*.rs "$ENGINES/scenario/src/format.rs" | cksum | cut -d ' ' -f 1)
    # shellcheck disable=SC2034 # for the caller
    SOLANA_1_14=$cache/replay-$key
    if [[ -x $SOLANA_1_14 ]]; then return 0; fi
    SOLANA_1_14_MISSING=$(solana_1_14_unsuited) && return 1
    mkdir -p "$cache"
    only_one "$cache.lock"
    if [[ -x $SOLANA_1_14 ]]; then return 0; fi
    if ! solana_1_14_rust "$cache" || ! solana_1_14_vendor "$cache" || ! solana_1_14_build "$cache"; then
        # shellcheck disable=SC2034 # for the caller
        SOLANA_1_14_MISSING="it could not be built; the reason stands above"
        return 1
    fi
    rm -f "$cache"/replay-*
    cp "$cache/target/debug/replay" "$SOLANA_1_14.new"
    mv "$SOLANA_1_14.new" "$SOLANA_1_14"
    log "Solana 1.14.19 is ready after $(as_duration $((SECONDS - started))): $(du -sh "$cache" | cut -f1) in $cache"
}

# solana_1_14_unsuited: says why this machine cannot build it; fails if it can.
solana_1_14_unsuited() {
    debian_unsuited && return 0
    [[ $(dpkg --print-architecture) == amd64 ]] || { printf 'the JIT of Solana 1.14 makes x86-64 code only'; return 0; }
    have cargo || { printf "no cargo here, which fetches the crates"; return 0; }
    have cc || { printf "no C compiler (\`cc\`) here"; return 0; }
    return 1
}

# solana_1_14_rust CACHE: Debian's rustc and cargo into CACHE/rust.
solana_1_14_rust() {
    local rust=$1/rust new=$1/rust.new deb
    if [[ -e $rust/complete ]]; then return 0; fi
    rm -rf "$rust" "$new"
    # The C compiler and library are the machine's own, which the root workspace needs anyway.
    debian_apt "$new/apt" "$SOLANA_1_14_SUITE" gcc binutils libc6 libc6-dev libgcc-s1 libstdc++6 zlib1g || return 1
    log "fetching rustc $SOLANA_1_14_RUST and what it needs from Debian $SOLANA_1_14_SUITE (9 MB of index, 108 MB of packages); only unpacked"
    debian_download "$new/apt" "rustc=$SOLANA_1_14_RUST.*" cargo || return 1
    for deb in "$new"/apt/cache/archives/*.deb; do dpkg-deb --extract "$deb" "$new" || return 1; done
    rm -rf "$new/apt"
    touch "$new/complete"
    mv "$new" "$rust"
}

# solana_1_14_vendor CACHE: the crates of the lockfile into CACHE/vendor. The old cargo cannot read today's registry index.
solana_1_14_vendor() {
    local vendor=$1/vendor lock=$ENGINES/solana-1.14/Cargo.lock
    if [[ -e $vendor/complete ]] && cmp -s "$lock" "$vendor/complete"; then return 0; fi
    rm -rf "$vendor"
    log "fetching the 479 crates of Solana 1.14.19 (530 MB unpacked)"
    cargo vendor --quiet --locked --versioned-dirs --manifest-path "$ENGINES/solana-1.14/Cargo.toml" "$vendor" >/dev/null || return 1
    cp "$lock" "$vendor/complete"
}

# solana_1_14_build CACHE: CACHE/target/debug/replay. Cargo is run in / and with a home of its own: it would read the
# settings of today's cargo from the folders above it, and RUSTFLAGS and wrappers from the environment.
solana_1_14_build() {
    local cache=$1 rust=$1/rust/usr log=$ORCAPOOL_CACHE/logs/solana-1.14.log
    mkdir -p "$ORCAPOOL_CACHE/logs"
    if [[ -d $cache/target/debug/deps ]]; then
        log "compiling the replayer for Solana 1.14.19 ($log)"
    else
        log "compiling Solana 1.14.19 (about 5 minutes on 2 cores, once; $log)"
    fi
    if ! (
        cd / || exit 1
        unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER RUSTUP_TOOLCHAIN \
            CARGO_BUILD_TARGET CARGO_INCREMENTAL
        export LD_LIBRARY_PATH=$rust/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
        export RUSTC=$rust/bin/rustc CARGO_HOME=$cache/cargo-home CARGO_TARGET_DIR=$cache/target
        "$rust/bin/cargo" build --offline --locked --manifest-path "$ENGINES/solana-1.14/Cargo.toml" \
            --config 'source.crates-io.replace-with="vendored"' --config "source.vendored.directory=\"$cache/vendor\""
    ) >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        return 1
    fi
}
