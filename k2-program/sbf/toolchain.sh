# shellcheck shell=bash
# The SBF tool chain of our own, for machines without `cargo build-sbf`: source it after scripts/lib.sh and
# scripts/lib-debian.sh. What the parts are and why they exist: README.md in this folder.
#
#   use_sbf_toolchain          fetches and builds it where that has not happened; sets SBF_TOOLS and SBF_DEBIAN
#   sbf_build CRATE TARGET     builds a program; prints the path of its .so

readonly SBF_SOURCE=$ROOT/k2-program/sbf

# The suite whose packages run on the most machines, and the compiler in it that has been tried. Debian replaces it with every
# update of its browsers, which is what these packages are for; then the newest is taken.
readonly SBF_SUITE=bookworm SBF_RUST_PINNED=1.96.0+dfsg1-1~deb12u2
# To be raised when what is unpacked or how it is changed becomes another.
readonly SBF_UNPACKED_AS=1
# What the machine has itself: its own C library and run-time libraries, and a linker for build scripts.
readonly SBF_NOT_FETCHED=(libc6 libgcc-s1 libstdc++6 gcc binutils)

# ---- what is fetched -------------------------------------------------------------------------------------------------

# The package sources: the suite, and its security updates, which is where the compiler is.
sbf_apt() {
    local dir=$1 mirror
    debian_apt "$dir" "$SBF_SUITE" "${SBF_NOT_FETCHED[@]}"
    mirror=$(debian_mirror)
    mirror=${mirror%/}
    sed -e "s|^URIs: .*|URIs: ${mirror%/debian}/debian-security|" -e "s|^Suites: .*|Suites: $SBF_SUITE-security|" \
        "$dir/sources/debian.sources" >"$dir/sources/security.sources"
    APT_CONFIG=$dir/conf apt-get -qq --error-on=any update >&2
}

# sbf_versions DIR PACKAGE: its versions, the newest first.
sbf_versions() { APT_CONFIG=$1/conf apt-cache madison "$2" | awk -F '|' '{ gsub(/ /, "", $2); print $2 }'; }

# sbf_rust_version DIR: the compiler to take: the pinned version, else the newest whose standard library and its sources
# are there in the same version.
sbf_rust_version() {
    local dir=$1 version package newest
    newest=$(sbf_versions "$dir" rustc-web)
    for version in "$SBF_RUST_PINNED" $newest; do
        for package in rustc-web libstd-rust-web-dev rust-web-src; do
            sbf_versions "$dir" "$package" | grep -Fx -- "$version" >/dev/null || continue 2
        done
        printf '%s' "$version"
        return 0
    done
    return 1
}

# sbf_depends DIR PACKAGE=VERSION PATTERN: the package among its dependencies whose name matches.
sbf_depends() { APT_CONFIG=$1/conf apt-cache show "$2" | sed -n 's/^Depends: //p' | tr ',' '\n' | sed -n "s/^ *\($3\)\( .*\)\{0,1\}$/\1/p" | head -n 1; }

# sbf_unpack INTO: compiler, standard library with its sources, and LLVM with its headers, below INTO.
sbf_unpack() {
    local into=$1 apt=$1/apt version library llvm deb name
    sbf_apt "$apt" || return 1
    version=$(sbf_rust_version "$apt") || { log "Debian $SBF_SUITE has no rustc-web with its standard library and sources"; return 1; }
    if [[ $version != "$SBF_RUST_PINNED" ]]; then
        log "NOTE: Debian replaced rustc-web $SBF_RUST_PINNED, with which this was tried, by $version, which is taken instead"
    fi
    library=$(sbf_depends "$apt" "libstd-rust-web-dev=$version" 'libstd-rust-web-[0-9.]*') || return 1
    llvm=$(sbf_depends "$apt" "$library=$version" 'libllvm[0-9]*') || return 1
    llvm=${llvm#libllvm}
    [[ -n $library && -n $llvm ]] || { log "the packages of rustc-web $version depend on other ones than expected"; return 1; }
    log "fetching rustc-web $version, its standard library and sources, LLVM $llvm (about 200 MB)"
    APT_CONFIG=$apt/conf apt-get -y -qq --download-only install "rustc-web=$version" "libstd-rust-web-dev=$version" \
        "$library=$version" "rust-web-src=$version" "libllvm$llvm" >&2 || return 1
    (cd "$apt/cache/archives" && APT_CONFIG=$apt/conf apt-get -qq download "llvm-$llvm-dev" >&2) || return 1
    log "unpacking"
    for deb in "$apt"/cache/archives/*.deb; do
        name=${deb##*/}
        case ${name%%_*} in
        # Of these two most is not needed here: the compiler's own sources, static libraries.
        rust-web-src) dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$into" --wildcards './usr/lib/*' './usr/src/*/library/*' || return 1 ;;
        llvm-*-dev) dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$into" --wildcards './usr/include/*' './usr/lib/*/include*' || return 1 ;;
        *) dpkg-deb --extract "$deb" "$into" || return 1 ;;
        esac
    done
    rm -rf "$apt"
    sbf_extend_std "$into"/usr/src/rustc-*/library/std/src/sys || return 1
    printf 'RUST=%s\nLLVM=%s\n' "$version" "$llvm" >"$into/versions"
}

# ---- the standard library on Solana ----------------------------------------------------------------------------------

# sbf_before FILE LINE NEW: puts NEW before every line that is LINE but for its indentation.
sbf_before() {
    local file=$1 anchor=$2 new=$3
    awk -v anchor="$anchor" -v new="$new" '
        { line = $0; sub(/^ +/, "", line) }
        line == anchor { print new; found = 1 }
        { print }
        END { exit !found }' "$file" >"$file.new" || {
        log "the standard library's ${file#*/library/} has no line \`$anchor\`: sbf_extend_std in ${BASH_SOURCE[0]#"$ROOT/"} does not know this version of Rust"
        return 1
    }
    mv "$file.new" "$file"
}

# sbf_extend_std SYS: teaches the sources of std about target_os = "solana": no threads, no random numbers, no operating
# system's error codes, and an allocator only if the program brings one. Most other parts fall back to "unsupported".
sbf_extend_std() {
    local sys=$1 file
    for file in io/error/mod.rs thread_local/mod.rs random/mod.rs; do
        # VexOS is a system with as little.
        sbf_before "$sys/$file" 'target_os = "vexos",' '    target_os = "solana",' || return 1
    done
    sbf_before "$sys/alloc/mod.rs" 'target_arch = "wasm32",' '    target_arch = "bpf",' || return 1
    sbf_before "$sys/alloc/mod.rs" 'target_os = "vexos" => {' '    target_os = "solana" => { mod solana; }' || return 1
    cat >"$sys/alloc/solana.rs" <<'RUST'
use crate::alloc::{GlobalAlloc, Layout, System};

// Programs bring a #[global_allocator]; without one every allocation fails.
#[stable(feature = "alloc_system_type", since = "1.28.0")]
unsafe impl GlobalAlloc for System {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        crate::ptr::null_mut()
    }
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}
RUST
}

# ---- what is built ---------------------------------------------------------------------------------------------------

# sbf_build_tools INTO: rustc's wrapper, the code generator and the linker.
sbf_build_tools() {
    local into=$1 libraries file objects=() pids=() pid llvm
    # Some of Debian 12's packages still put theirs in /lib.
    libraries=$(find "$SBF_DEBIAN/usr/lib" "$SBF_DEBIAN/lib" -name 'lib*.so.*' -printf '%h\n' | sort -u | paste -s -d :)
    llvm=$(sed -n 's/^LLVM=//p' "$SBF_DEBIAN/versions")
    # The code generator, which rustc's linker starts, gets its libraries from here too.
    cat >"$into/rustc" <<WRAPPER
#!/bin/sh
export LD_LIBRARY_PATH='$libraries'"\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
exec '$SBF_DEBIAN/usr/bin/rustc' "\$@"
WRAPPER
    chmod 755 "$into/rustc"
    log "compiling the code generator (k2-program/sbf/codegen, C++)"
    mkdir -p "$into/objects"
    for file in "$SBF_SOURCE"/codegen/*.cpp; do
        objects+=("$into/objects/$(basename "$file" .cpp).o")
        "${CXX:-c++}" -std=c++17 -O1 -fno-rtti -D_GNU_SOURCE -D__STDC_CONSTANT_MACROS -D__STDC_FORMAT_MACROS -D__STDC_LIMIT_MACROS \
            -isystem "$SBF_DEBIAN/usr/include/llvm-$llvm" -isystem "$SBF_DEBIAN/usr/include/llvm-c-$llvm" -c "$file" -o "${objects[-1]}" >&2 &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || return 1; done
    "${CXX:-c++}" "${objects[@]}" -o "$into/sbf-codegen" "$(find "$SBF_DEBIAN/usr/lib" -name 'libLLVM.so.*' | head -n 1)" \
        "-Wl,-rpath-link,$libraries" >&2 || return 1
    rm -rf "$into/objects"
    cp "$SBF_SOURCE/codegen/builtins.ll" "$into/"
    log "compiling the linker (k2-program/sbf/link)"
    (cd "$SBF_SOURCE/link" && CARGO_TARGET_DIR=$CARGO_TARGET_DIR/sbf-link cargo build --release --locked --quiet >&2) || return 1
    cp "$CARGO_TARGET_DIR/sbf-link/release/sbf-link" "$into/"
}

# sbf_unsuited: says why the tool chain cannot be set up on this machine; fails if it can.
sbf_unsuited() {
    debian_unsuited && return 0
    case $(dpkg --print-architecture) in amd64 | arm64) ;; *) printf 'not tried on %s' "$(dpkg --print-architecture)"; return 0 ;; esac
    have "${CXX:-c++}" || { printf "no C++ compiler (\`%s\`; Debian: apt-get install g++)" "${CXX:-c++}"; return 0; }
    return 1
}

readonly SBF_OTHERWISE=("Install Solana's tool chain, so that \`cargo build-sbf\` works: https://docs.anza.xyz/cli/install"
    "or build on Debian 12 or newer (or what derives from it, with the package debian-archive-keyring)."
    "ORCAPOOL_K2_PROGRAM=/path/to/orcapool_k2.so takes a program that was built elsewhere.")

# sbf_into DIR HOW: makes DIR by the function HOW, whole or not at all.
sbf_into() {
    local dir=$1 how=$2 new
    rm -rf "$dir".new.* # of a run that was interrupted; the lock says that none is at it now
    new=$(mktemp -d "$dir.new.XXXXXX")
    chmod 755 "$new"
    if ! "$how" "$new"; then
        rm -rf "$new"
        return 1
    fi
    rm -rf "$dir"
    mv "$new" "$dir"
}

use_sbf_toolchain() {
    local why base=$ORCAPOOL_CACHE/sbf started=$SECONDS
    mkdir -p "$base"
    SBF_DEBIAN=$base/debian-$SBF_RUST_PINNED-$SBF_UNPACKED_AS
    # The builtins and the code generator are part of what the program is made of: another version is another folder.
    SBF_TOOLS=$base/tools-$(cat "$SBF_SOURCE"/codegen/* "$SBF_SOURCE"/link/{Cargo.toml,Cargo.lock,src/*.rs} "${BASH_SOURCE[0]}" | cksum | cut -d ' ' -f 1)
    if [[ -x $SBF_DEBIAN/usr/bin/rustc && -x $SBF_TOOLS/sbf-link ]]; then return 0; fi
    only_one "$base/lock"
    if [[ ! -x $SBF_DEBIAN/usr/bin/rustc ]]; then
        if why=$(sbf_unsuited); then die "no tool chain for Solana programs, and ours cannot be set up here: $why" "${SBF_OTHERWISE[@]}"; fi
        log "setting up the SBF tool chain in $base (once; nothing is installed)"
        sbf_into "$SBF_DEBIAN" sbf_unpack || die "the SBF tool chain could not be fetched from Debian" "${SBF_OTHERWISE[@]}"
    fi
    if [[ ! -x $SBF_TOOLS/sbf-link ]]; then
        sbf_into "$SBF_TOOLS" sbf_build_tools || die "the SBF tool chain could not be built; the messages are above" "${SBF_OTHERWISE[@]}"
        "$SBF_TOOLS/rustc" --version >&2 || die "Debian's rustc does not run here" "${SBF_OTHERWISE[@]}"
    fi
    log "SBF tool chain ready in $(as_duration $((SECONDS - started))): $(du -sh "$base" | cut -f 1) in $base"
}

# ---- building a program ----------------------------------------------------------------------------------------------

# sbf_flags: rustc's flags, separated as cargo wants them. No path of this machine may get into the program: neither would
# two machines build the same bytes, nor is it anyone's business.
sbf_flags() {
    local sources registry flags=(
        -C relocation-model=static -C no-vectorize-loops -C no-vectorize-slp
        "--remap-path-scope=macro,debuginfo,object" "--remap-path-prefix=$ROOT=/orcapool"
    ) IFS=$'\x1f'
    for sources in "$SBF_DEBIAN"/usr/src/rustc-* "$SBF_DEBIAN/usr/lib/rustlib/src/rust"; do flags+=("--remap-path-prefix=$sources=/rust"); done
    for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do flags+=("--remap-path-prefix=$registry=/crates"); done
    printf '%s' "${flags[*]}"
}

# sbf_build CRATE TARGET: builds the crate's cdylib in cargo's folder TARGET and prints the path of the .so.
sbf_build() {
    local crate=$1 target=$2 messages
    mkdir -p "$target"
    # Whatever of the caller's settings would change the bytes is left out.
    messages=$(
        cd "$crate" || exit 1
        unset RUSTFLAGS RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER CARGO_BUILD_RUSTC_WRAPPER CARGO_BUILD_TARGET CARGO_INCREMENTAL "${!CARGO_PROFILE_@}"
        # Without rustc's own link-time optimisation: sbf-codegen has the whole program before it anyway, and needs functions of
        # compiler_builtins that nothing calls before it has been there. The two BOOTSTRAP variables open what rustc and std
        # keep for nightly compilers: a target from a file, std built from source.
        CARGO_PROFILE_RELEASE_LTO=off RUSTC=$SBF_TOOLS/rustc CARGO_TARGET_SBF_SOLANA_LINKER=$SBF_TOOLS/sbf-link CARGO_ENCODED_RUSTFLAGS=$(sbf_flags) \
            CARGO_TARGET_DIR=$target RUSTC_BOOTSTRAP=1 RUSTC_BOOTSTRAP_SYNTHETIC_TARGET=1 \
            cargo build --release --locked --message-format=json-render-diagnostics --target "$SBF_SOURCE/sbf-solana.json" \
            -Z json-target-spec -Z build-std=std,panic_abort
    ) || return 1
    # Of a cdylib cargo names the one file.
    sed -n 's/.*"filenames":\["\([^"]*\.so\)"\].*/\1/p;s/.*"filenames":\["\([^"]*\.so\)",.*/\1/p' <<<"$messages" | tail -n 1 | grep .
}
