# shellcheck shell=bash
# A container engine for the scripts: `. "$(dirname "${BASH_SOURCE[0]}")/lib-engine.sh"` after lib.sh and lib-debian.sh.
#
# One that runs is used. Where none does and this is root, one is started with its data, its socket and its state in the cache,
# and stopped again; where it is not even there, it is unpacked from Debian's packages beside the system, as bitcoind is.
# Nothing is installed, and an engine of the machine's own is neither configured nor stopped.

# Debian's engine and what it runs; mmdebstrap makes a base image where no registry of images is reachable.
readonly ENGINE_SUITE=bookworm
readonly ENGINE_PACKAGES=(docker.io containerd runc tini iptables mmdebstrap)
# Debian's compose of that suite is the old one, which knows no `service_completed_successfully`; this one needs no newer C library.
readonly COMPOSE_SUITE=trixie COMPOSE_PACKAGE=docker-compose
# Libraries of theirs that a machine may lack, by package.
readonly ENGINE_LIBRARIES='^(libseccomp2|libdevmapper|libip[46]tc|libxtables|libnetfilter-conntrack|libnfnetlink|libmnl|libnftnl|libsystemd0)'

ENGINE=() COMPOSE=() ENGINE_MISSING='' ENGINE_OWN='' ENGINE_BIN=''

# engine ARGUMENTS...: the command line client.
engine() { DOCKER_BUILDKIT=1 "${ENGINE[@]}" "$@"; }

# use_engine: sets what `engine` needs; fails, with the reason in ENGINE_MISSING, where no engine runs and none can be started.
use_engine() {
    local client=${ORCAPOOL_DOCKER:-docker}
    if have "$client" && "$client" info >/dev/null 2>&1; then
        ENGINE=("$client")
        log "container engine: $("$client" version --format '{{.Server.Version}}') ($client)"
        return 0
    fi
    if [[ $(uname -s) != Linux || $(id -u) != 0 ]]; then
        ENGINE_MISSING="no container engine answers (\`docker info\`), and only root may start one"
        return 1
    fi
    find_engine && start_engine
}

# Puts the engine's programs in front of ENGINE_PATH: the machine's, or Debian's unpacked in the cache.
find_engine() {
    local folder why
    ENGINE_PATH=$PATH ENGINE_LIBS=${LD_LIBRARY_PATH:-}
    if have dockerd && have containerd && have runc && have docker; then return 0; fi
    if why=$(debian_unsuited); then
        ENGINE_MISSING="no container engine here, and Debian's cannot be unpacked: $why"
        return 1
    fi
    folder=$ORCAPOOL_CACHE/engine-$ENGINE_SUITE
    only_one "$folder.lock"
    if [[ ! -e $folder/complete ]] && ! fetch_engine "$folder"; then
        ENGINE_MISSING="no container engine here, and Debian's could not be fetched"
        return 1
    fi
    # The package leaves these links to update-alternatives.
    ln -sfn iptables-nft "$folder/usr/sbin/iptables"
    ln -sfn ip6tables-nft "$folder/usr/sbin/ip6tables"
    ENGINE_BIN=$folder/usr/bin
    ENGINE_PATH=$folder/usr/bin:$folder/usr/sbin:$PATH
    ENGINE_LIBS=$(printf '%s:' "$folder"/usr/lib/*-linux-gnu "$folder"/lib/*-linux-gnu)$ENGINE_LIBS
    # Where iptables looks for its matches and targets.
    XTABLES_LIBDIR=$(printf '%s:' "$folder"/usr/lib/*-linux-gnu/xtables)
    export XTABLES_LIBDIR
}

# fetch_engine INTO
fetch_engine() {
    local into=$1 deb name
    rm -rf "$into"
    mkdir -p "$into"
    log "no container engine here: unpacking Debian's beside the system (70 MB of packages, once)"
    debian_apt "$into/apt" "$ENGINE_SUITE" || return 1
    debian_download "$into/apt" "${ENGINE_PACKAGES[@]}" || return 1
    for deb in "$into"/apt/cache/archives/*.deb; do
        name=${deb##*/} name=${name%%_*}
        if [[ " ${ENGINE_PACKAGES[*]} " == *" $name "* || $name =~ $ENGINE_LIBRARIES ]]; then
            dpkg-deb --extract "$deb" "$into" || return 1
        fi
    done
    rm -rf "$into/apt"
    touch "$into/complete"
}

# An engine of our own, without a network of its own: containers get the machine's or none. `start_engine isolated`: it has networks,
# in a namespace of its own: containers reach each other, by their names, and nothing else.
start_engine() {
    local state=$ORCAPOOL_CACHE/engine-state tries lock network=(--bridge=none) within=()
    if [[ ${1-} == isolated ]]; then
        # shellcheck disable=SC2016 # its own arguments
        within=(unshare --net bash -c 'ip link set lo up && exec "$@"' dockerd)
    else
        network+=(--iptables=false --ip6tables=false)
    fi
    # Sockets have short names only, and two runs must not share one.
    ENGINE_RUN=$(mktemp -d /run/orcapool-engine.XXXXXX 2>/dev/null || mktemp -d)
    only_one "$state.lock"
    mkdir -p "$state"
    (
        # It must not hold the locks on when this script is killed.
        for lock in "${LOCKS[@]}"; do exec {lock}>&-; done
        exec env "PATH=$ENGINE_PATH" "LD_LIBRARY_PATH=$ENGINE_LIBS" ${within[@]+"${within[@]}"} dockerd "${network[@]}" --storage-driver=overlay2 --data-root "$state" \
            --exec-root "$ENGINE_RUN/exec" --pidfile "$ENGINE_RUN/pid" --host "unix://$ENGINE_RUN/s"
    ) </dev/null >"$ORCAPOOL_CACHE/engine.log" 2>&1 &
    ENGINE_OWN=$!
    ENGINE=("${ENGINE_BIN:+$ENGINE_BIN/}docker" --host "unix://$ENGINE_RUN/s")
    for ((tries = 0; tries < 120; tries++)); do
        if "${ENGINE[@]}" info >/dev/null 2>&1; then
            log "container engine: started $("${ENGINE[@]}" version --format '{{.Server.Version}}') for this run"
            return 0
        fi
        kill -0 "$ENGINE_OWN" 2>/dev/null || break
        sleep 0.5
    done
    ENGINE_MISSING="a container engine cannot be started here: $(tail -n 1 "$ORCAPOOL_CACHE/engine.log")"
    stop_engine
    return 1
}

# Stops the engine if use_engine started it.
stop_engine() {
    if [[ -n $ENGINE_OWN ]]; then
        kill "$ENGINE_OWN" 2>/dev/null || true
        wait "$ENGINE_OWN" 2>/dev/null || true
        rm -rf "$ENGINE_RUN"
        ENGINE_OWN=
    fi
}

# use_compose: sets COMPOSE, the command. An engine of our own is started anew, with networks.
use_compose() {
    local folder=$ORCAPOOL_CACHE/compose-$COMPOSE_SUITE deb plugin=usr/libexec/docker/cli-plugins/docker-compose
    if [[ -z $ENGINE_OWN ]]; then
        if ! engine compose version >/dev/null 2>&1; then
            ENGINE_MISSING="the container engine here has no \`docker compose\`"
            return 1
        fi
        COMPOSE=("${ENGINE[@]}" compose)
        return 0
    fi
    if ! have unshare || ! have ip; then
        # shellcheck disable=SC2034 # the reason is for whoever asked
        ENGINE_MISSING="networks for containers take unshare and ip (Debian: util-linux, iproute2)"
        return 1
    fi
    only_one "$folder.lock"
    if [[ ! -e $folder/complete ]]; then
        rm -rf "$folder"
        mkdir -p "$folder"
        log "unpacking Debian's docker compose (20 MB of packages, once)"
        debian_apt "$folder/apt" "$COMPOSE_SUITE" libc6 docker-cli || return 1
        debian_download "$folder/apt" "$COMPOSE_PACKAGE" || return 1
        for deb in "$folder"/apt/cache/archives/"$COMPOSE_PACKAGE"_*.deb; do dpkg-deb --extract "$deb" "$folder" || return 1; done
        rm -rf "$folder/apt"
        touch "$folder/complete"
    fi
    stop_engine
    start_engine isolated || return 1
    # shellcheck disable=SC2034 # for whoever asked
    # Started as the engine's plugin it would have to stand in a folder of this user's.
    COMPOSE=(env "DOCKER_HOST=${ENGINE[2]}" "$folder/$plugin")
}
