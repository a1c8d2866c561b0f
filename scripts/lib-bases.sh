# shellcheck shell=bash
# What images are made of, for each architecture: `. "$(dirname "${BASH_SOURCE[0]}")/lib-bases.sh"` after lib-engine.sh.
#
# The base and the builder's image come from the registry, or, where that is out of reach, are made of Debian's packages. Programs
# of another architecture than this machine's run in QEMU: the machine's, or Debian's, for the time of the script.

# use_arch [ARCH]: sets ARCH, which the image is for, and PLATFORM, the options that say so; both as docker names them.
use_arch() {
    ENGINE_ARCH=$(engine version --format '{{.Server.Arch}}')
    ARCH=${1:-$ENGINE_ARCH}
    # shellcheck disable=SC2034 # for whoever asked
    PLATFORM=(--platform "linux/$ARCH")
}

# machine_of ARCH: what the kernel and QEMU call it.
machine_of() { case $1 in amd64) printf x86_64 ;; arm64) printf aarch64 ;; *) printf '%s' "$1" ;; esac; }

# ---- running another architecture's programs -------------------------------------------------------------------------

readonly BINFMT=/proc/sys/fs/binfmt_misc
EMULATION_OWN=''

# use_emulation: fails, with the reason in ENGINE_MISSING, where programs of ARCH cannot be run.
use_emulation() {
    local machine folder=$ORCAPOOL_CACHE/qemu-$ENGINE_SUITE deb rule
    # What an engine of the machine's own can run is not ours to know: it may be in another machine, as Docker Desktop's is.
    if [[ $ARCH == "$ENGINE_ARCH" || -z $ENGINE_OWN || -n $EMULATION_OWN ]]; then return 0; fi
    machine=$(machine_of "$ARCH")
    if [[ -e $BINFMT/qemu-$machine ]]; then return 0; fi
    # shellcheck disable=SC2034 # the reason is for whoever asked
    ENGINE_MISSING="this machine cannot run programs for $ARCH, which takes binfmt_misc and QEMU (Debian: apt-get install qemu-user-static binfmt-support)"
    if [[ ! -e $BINFMT/register ]] && ! mount -t binfmt_misc binfmt_misc "$BINFMT" 2>/dev/null; then return 1; fi
    only_one "$folder.lock"
    if [[ ! -e $folder/complete ]]; then
        rm -rf "$folder"
        mkdir -p "$folder"
        log "unpacking Debian's QEMU (30 MB of packages, once)"
        debian_apt "$folder/apt" "$ENGINE_SUITE" && debian_download "$folder/apt" qemu-user-static || return 1
        for deb in "$folder"/apt/cache/archives/qemu-user-static_*.deb; do dpkg-deb --extract "$deb" "$folder" || return 1; done
        rm -rf "$folder/apt"
        touch "$folder/complete"
    fi
    # Debian's own rule, but with the program from here; F: the kernel opens it now, so that it need not be in the container.
    rule=$(sed "s|^:qemu-|:orcapool-|; s|:[^:]*:[^:]*\$|:$folder/usr/bin/qemu-$machine-static:F|" "$folder/usr/lib/binfmt.d/qemu-$machine.conf")
    # It may be there, of a run that was killed.
    EMULATION_OWN=$BINFMT/orcapool-$machine
    stop_emulation
    printf '%s' "$rule" >"$BINFMT/register" || return 1
    EMULATION_OWN=$BINFMT/orcapool-$machine
    log "programs for $ARCH run in QEMU for the time of this script"
}

# Stops the emulation if use_emulation started it.
stop_emulation() {
    if [[ -n $EMULATION_OWN && -e $EMULATION_OWN ]]; then printf -- -1 >"$EMULATION_OWN" || true; fi
    EMULATION_OWN=
}

# ---- the images everything is made of --------------------------------------------------------------------------------

# has_image NAME ARCH: is it here for this architecture, or can it be pulled?
has_image() {
    local patience=120
    if [[ $(engine image inspect --format '{{.Architecture}}' "$1" 2>/dev/null) == "$2" ]]; then return 0; fi
    if [[ -n $ENGINE_OWN ]]; then patience=30; fi
    if timeout "$patience" "${ENGINE[@]}" pull --quiet --platform "linux/$2" "$1" >/dev/null 2>&1; then return 0; fi
    log "$1 cannot be pulled"
    return 1
}

# use_base: finds the base image, and sets BASE to its name: what the registry has, or the same made of Debian's packages.
use_base() {
    BASE=${ORCAPOOL_BASE:-debian:$ENGINE_SUITE-slim}
    if has_image "$BASE" "$ARCH"; then return 0; fi
    BASE=orcapool-base:$ENGINE_SUITE
    if [[ $ARCH != "$ENGINE_ARCH" ]]; then BASE+=-$ARCH; fi
    if engine image inspect "$BASE" >/dev/null 2>&1; then return 0; fi
    use_emulation || return 1
    log "making the base image of Debian's packages (a minute, once)"
    # shellcheck disable=SC2016 # the hook's own argument
    # usrmerge, which comes along and has done its work, is what needs all of perl.
    debian_image "$BASE" "$ARCH" "$ARCH" usr-is-merged '' \
        --customize-hook='chroot "$1" apt-get -qq -y purge usrmerge perl "perl-modules-.*" "libperl5.*"'
}

# use_builder: the same for the image that has the compilers, as BUILDER. Debian's is of its security updates: browsers need new
# compilers, and it has the standard library for both architectures.
use_builder() {
    local other
    BUILDER=${ORCAPOOL_BUILDER:-$(sed -n 's/^ARG BUILDER=//p' "$ROOT/docker/Dockerfile")}
    if has_image "$BUILDER" "$ENGINE_ARCH"; then return 0; fi
    BUILDER=orcapool-builder:$ENGINE_SUITE
    if engine image inspect "$BUILDER" >/dev/null 2>&1; then return 0; fi
    case $ENGINE_ARCH in amd64) other=arm64 ;; *) other=amd64 ;; esac
    log "making a builder's image of Debian's packages (600 MB of packages, some minutes, once)"
    debian_image "$BUILDER" "$ENGINE_ARCH" "$ENGINE_ARCH,$other" \
        "usr-is-merged,ca-certificates,g++,libc6-dev,pkg-config,cargo-web,rustc-web,libstd-rust-web-dev:$other,g++-$(machine_of "$other" | tr _ -)-linux-gnu" \
        "deb [signed-by=$(debian_keyring)] $(debian_mirror | sed 's|/$||')-security $ENGINE_SUITE-security main"
}

# debian_image NAME ARCH ARCHITECTURES PACKAGES SOURCE [OPTION OF mmdebstrap...]: minbase, less what Debian's slim images leave out too.
debian_image() {
    local name=$1 arch=$2 architectures=$3 packages=$4 source=$5 folder
    shift 5
    if [[ $(id -u) != 0 ]] || ! PATH=${ENGINE_PATH:-$PATH} have mmdebstrap; then
        ENGINE_MISSING="$name cannot be pulled, and not be made here (that takes root and mmdebstrap)"
        return 1
    fi
    folder=$(mktemp -d "$ORCAPOOL_CACHE/debian-image.XXXXXX")
    # It would ask for a program of its own whether this machine runs the architecture's: use_emulation has seen to that.
    if ! PATH=${ENGINE_PATH:-$PATH} mmdebstrap --quiet --mode=root --variant=minbase --skip=check/qemu \
        --architectures="$architectures" --include="$packages" \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' "$@" \
        "$ENGINE_SUITE" "$folder/root.tar" "deb [signed-by=$(debian_keyring)] $(debian_mirror) $ENGINE_SUITE main" ${source:+"$source"} >&2; then
        # shellcheck disable=SC2034 # the reason is for whoever asked
        ENGINE_MISSING="$name cannot be pulled, and mmdebstrap could not make it"
        rm -rf "$folder"
        return 1
    fi
    import_image "$name" "$arch" "$folder"
}

# import_image NAME ARCH FOLDER: an image of FOLDER/root.tar; deletes the folder. (`docker import` knows only the engine's architecture.)
import_image() {
    printf 'FROM scratch\nADD root.tar /\n' >"$3/Dockerfile"
    engine build --quiet --platform "linux/$2" --tag "$1" "$3" >/dev/null || return 1
    rm -rf "$3"
}
