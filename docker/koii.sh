#!/usr/bin/env bash
# One operator's Koii node for compose.yml, in short: it calls the container as Orca's sidecar does, from the container's own network
# namespace, and plays K2 by files in a folder that all operators share. Nobody signs and nobody is paid: this shows rounds at
# work. What really runs on Koii is orca-config/.
set -euo pipefail
export LC_ALL=C
: "${TASK:?}" "${NODE:?}" "${ROUND_SECONDS:=60}" "${PORT:=8080}" "${K2:=/koii}"
readonly BOUNTY=1000000000

# call METHOD PATH [BODY]: sets STATUS and BODY. No curl in the image, and none is needed.
call() {
    local reply body=${3-}
    exec {socket}<>"/dev/tcp/127.0.0.1/$PORT"
    printf '%s %s HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' \
        "$1" "$2" "${#body}" "$body" >&"$socket"
    reply=$(cat <&"$socket")
    exec {socket}>&-
    STATUS=${reply#* } STATUS=${STATUS%% *}
    BODY=${reply#*$'\r\n\r\n'}
}

say() { printf '%s  %s\n' "${NODE:0:8}" "$*"; }

# put FILE TEXT: at once or not at all, for others read it.
put() {
    mkdir -p "${1%/*}"
    printf '%s' "$2" >"$1.$NODE.new"
    mv "$1.$NODE.new" "$1"
}

# until_part ROUND PART: waits until so many thirds of the round are over.
until_part() {
    local left=$((START + $1 * ROUND_SECONDS + $2 * ROUND_SECONDS / 3 - EPOCHSECONDS))
    if ((left > 0)); then sleep "$left"; fi
}

submit() {
    call GET "/submission/$1"
    if [[ $STATUS == 200 ]]; then
        put "$K2/$1/$NODE.submission" "{\"taskId\":\"$TASK\",\"roundNumber\":$1,\"stakingKey\":\"$NODE\",${BODY#\{}"
        say "round $1: submitted $BODY"
    else
        say "round $1: no submission ($STATUS $BODY)"
    fi
}

audit() {
    local file other
    for file in "$K2/$1"/*.submission; do
        other=${file##*/} other=${other%.submission}
        [[ -e $file && $other != "$NODE" ]] || continue
        call POST /audit "{\"submission\":$(<"$file")}"
        say "round $1: ${other:0:8} is $BODY ($STATUS)"
        [[ $STATUS == 200 && ($BODY == true || $BODY == false) ]] || continue
        put "$K2/$1/$other.vote.$NODE" "$BODY"
    done
}

# accepted ROUND...: their accepted submissions, with commas between.
accepted() {
    local round file vote votes
    for round; do
        for file in "$K2/$round"/*.submission; do
            [[ -e $file ]] || continue
            votes=0
            for vote in "${file%.submission}".vote.*; do
                [[ -e $vote && $vote != *.new ]] || continue
                if [[ $(<"$vote") == true ]]; then votes=$((votes + 1)); else votes=$((votes - 1)); fi
            done
            if ((votes >= 0)); then printf '%s\n' "$(<"$file")"; fi
        done
    done | paste -s -d ,
}

distribute() {
    local all
    call POST "/distribution/$1" "{\"bounty\":$BOUNTY,\"submissions\":[$(accepted "$1")]}"
    if [[ $STATUS == 409 ]]; then
        # It was away when an earlier round was distributed.
        mapfile -t all < <(seq 0 "$1")
        call POST "/distribution/$1" "{\"bounty\":$BOUNTY,\"rounds\":[$(IFS=,; printf '%s' "${all[*]}")],\"submissions\":[$(accepted "${all[@]}")]}"
    fi
    put "$K2/$1/$NODE.list" "$BODY"
    say "round $1: list ($STATUS) $BODY"
}

# A container that was killed comes back with a new network namespace, which only a restart of this one joins; and a restart fails
# for good while there is none.
trap 'say "the task node does not answer: trying again in ten seconds"; sleep 10' EXIT

# The first to come says when round 0 began.
mkdir -p "$K2"
(set -o noclobber && printf '%s' "$EPOCHSECONDS" >"$K2/start") 2>/dev/null || true
START=$(<"$K2/start")
until call POST /healthz '{}' 2>/dev/null && [[ $STATUS == 200 ]]; do sleep 1; done
say "healthy: $BODY"
while :; do
    round=$(((EPOCHSECONDS - START) / ROUND_SECONDS))
    call POST "/task/$round"
    say "round $round: $STATUS"
    if ((round > 0)); then
        submit $((round - 1))
        until_part "$round" 1
        audit $((round - 1))
        until_part "$round" 2
        distribute $((round - 1))
    fi
    until_part "$round" 3
done
