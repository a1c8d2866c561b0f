# shellcheck shell=bash
# Debian packages beside the system: `. "$(dirname "${BASH_SOURCE[0]}")/lib-debian.sh"` after lib.sh.
#
# An apt of its own fetches from any of Debian's suites and checks as apt does; the packages are only unpacked. Neither
# /etc/apt nor dpkg's database is touched, and no root is needed.

# Debian's public keys, against which apt checks every index and through it every package.
debian_keyring() {
    local file
    for file in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
        if [[ -r $file ]]; then
            printf '%s' "$file"
            return 0
        fi
    done
    return 1
}

# The mirror this machine uses. apt itself is asked, so deb822 and one-line sources are both understood.
debian_mirror() {
    local uri
    # shellcheck disable=SC2016 # apt's own placeholder
    while read -r uri; do
        case $uri in http://*/debian | http://*/debian/ | https://*/debian | https://*/debian/)
            printf '%s' "$uri"
            return 0
            ;;
        esac
    done < <(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null)
    printf 'http://deb.debian.org/debian'
}

# debian_unsuited: says why packages cannot be unpacked on this machine; fails if they can.
debian_unsuited() {
    local tool
    for tool in apt-get dpkg dpkg-deb apt-config; do
        have "$tool" || { printf 'no %s here' "$tool"; return 0; }
    done
    debian_keyring >/dev/null || { printf 'no /usr/share/keyrings/debian-archive-keyring.gpg (package debian-archive-keyring)'; return 0; }
    return 1
}

# debian_apt DIR SUITE [PACKAGE...]: settings of an apt of its own in DIR, for SUITE. The PACKAGEs count as installed: what
# the machine has of them is taken. Taken from the machine's apt is only how it reaches a mirror (proxy, certificates,
# time-outs) and whether its mirror is a snapshot, whose indexes are past their date; never anything about signatures.
debian_apt() {
    local dir=$1 suite=$2 package
    shift 2
    mkdir -p "$dir"/{lists/partial,cache/archives/partial,parts,sources,prefs,trusted}
    : >"$dir/status"
    for package in "$@"; do
        # rustc and others want the virtual package libc-dev.
        printf 'Package: %s\nStatus: install ok installed\nVersion: 999:0\nArchitecture: %s\nMulti-Arch: same\nProvides: libc-dev\n\n' \
            "$package" "$(dpkg --print-architecture)" >>"$dir/status"
    done
    cat >"$dir/sources/debian.sources" <<CONF
Types: deb
URIs: $(debian_mirror)
Suites: $suite
Components: main
Signed-By: $(debian_keyring)
CONF
    apt-config dump | grep -E '^Acquire::((http|https)::(Proxy|Timeout|CAInfo|CAPath|SslCert|SslKey)|Retries|ForceIPv[46]|Check-Valid-Until)' >"$dir/conf" || true
    # As root apt would fetch as the user _apt, who may not read a cache below root's home.
    cat >>"$dir/conf" <<CONF
Dir::Etc::Main "/dev/null";
Dir::Etc::Parts "$dir/parts";
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$dir/sources";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "$dir/prefs";
Dir::Etc::Trusted "/dev/null";
Dir::Etc::TrustedParts "$dir/trusted";
Dir::State "$dir";
Dir::State::Lists "$dir/lists";
Dir::State::Status "$dir/status";
Dir::Cache "$dir/cache";
Dir::Cache::Archives "$dir/cache/archives";
Dir::Log "$dir";
APT::Sandbox::User "";
APT::Install-Recommends "false";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Languages "none";
CONF
}

# debian_download DIR PACKAGE...: those packages, PACKAGE=VERSION for a certain one, and all they need that does not count
# as installed, into DIR/cache/archives.
debian_download() {
    local dir=$1
    shift
    APT_CONFIG=$dir/conf apt-get -qq --error-on=any update >&2 || return 1
    APT_CONFIG=$dir/conf apt-get -y -qq --download-only install "$@" >&2
}
