# Shared by every script that runs in the ramdisk: the server's address, reports, failures, long work.
# The including script has set -Eeuo pipefail. Exit codes tell nobody anything here; what is posted does.

readonly SERVER={{ server | sh }}
readonly WORK=/run/dodai
readonly LOG=$WORK/log
readonly RETRY_SECONDS=1800
readonly LONGEST_PAUSE=60   # however long a server says that it wants to be left alone

umask 077
export LC_ALL=C # lengths are in bytes
mkdir -p "$WORK"
# What commands complain about goes to the log; it is shown and sent when something fails.
exec 2>>"$LOG"
# Passed to curl by file: a command line can be read by every process.
printf 'Authorization: Bearer %s\n' {{ token | sh }} >"$WORK/header"

phase=start
cause=script
worker=
http_status=
retry_after=                # seconds, where the last answer named some
unsent=                     # lines of the log that the server has not taken yet
exec {log_reader}<"$LOG"    # keeps its place in it

# One line on the console and in the log, with the uptime as the kernel's own lines have it.
say() {
    local uptime
    read -r uptime _ </proc/uptime
    printf '[%s] dodai: %s\n' "$uptime" "$*" | tee -a "$LOG"
}

uptime_hundredths() {
    local uptime
    read -r uptime _ </proc/uptime
    REPLY=$((10#${uptime/./}))
}

# call PATH FILE [SECONDS]: post a file; sets http_status (000: no answer) and retry_after, and leaves the answer in
# $WORK/answer.
call() {
    local type=application/json said
    [[ $2 == *.json ]] || type='text/plain; charset=utf-8'
    if [[ $SERVER =~ ^http://([^/:]+)(:([0-9]+))?(/.*)?$ ]]; then
        said=$(post_with_bash "${BASH_REMATCH[1]}" "${BASH_REMATCH[3]:-80}" "${BASH_REMATCH[4]%/}/$1" "$2" "${3:-30}") ||
            said=000
        take_status "$said"
        return 0
    fi
    said=$(curl --silent --show-error --header @"$WORK/header" --header "Content-Type: $type" --data-binary @"$2" \
        --output "$WORK/answer" --write-out '%{http_code} %header{retry-after}' --connect-timeout 5 --max-time "${3:-30}" \
        "$SERVER/$1" 2>>"$LOG") || said=000
    take_status "$said"
}

# take_status "STATUS [RETRY-AFTER]"
take_status() {
    http_status=${1%% *}
    retry_after=
    [[ ! $1 =~ ^[0-9]+\ ([0-9]{1,9})$ ]] || retry_after=$((10#${BASH_REMATCH[1]}))
}

# pause_of SECONDS: those, or as long as the server wants to be left alone, within a limit.
pause_of() {
    REPLY=$1
    [[ ${retry_after:-0} -le $REPLY ]] || REPLY=$((retry_after < LONGEST_PAUSE ? retry_after : LONGEST_PAUSE))
}

# Prints the status and what Retry-After says. curl needs a quarter of a second to start on a slow machine, and this is
# done every second.
# Runs in a subshell: a connection that breaks ends it with SIGPIPE, and its exit code says enough.
post_with_bash() {
    local body='' status line length='' wanted='' code=0
    trap - ERR
    set +e
    body=$(<"$4")
    exec 3<>"/dev/tcp/$1/$2" || exit 1
    printf 'POST %s HTTP/1.0\r\nHost: %s\r\n%s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s' \
        "$3" "$1:$2" "$(<"$WORK/header")" "$type" "{% raw %}${#body}{% endraw %}" "$body" >&3
    IFS=' ' read -r -t "$5" _ status _ <&3 || exit 1
    while IFS= read -r -t "$5" line <&3 && [[ -n ${line%$'\r'} ]]; do
        [[ ! ${line,,} =~ ^content-length:\ *([0-9]+) ]] || length=${BASH_REMATCH[1]}
        [[ ! ${line,,} =~ ^retry-after:\ *([0-9]+) ]] || wanted=${BASH_REMATCH[1]}
    done
    # Not to the connection's end where the length is told: relays on the way may keep it open for a while.
    if [[ -n $length ]]; then
        [[ $length == 0 ]] || IFS= read -r -N "$length" -t "$5" body <&3 || exit 1
    else
        IFS= read -r -d '' -t "$5" body <&3 || code=$?
    fi
    [[ $code -le 128 ]] || exit 1
    printf '%s' "$body" >"$WORK/answer"
    echo "${status%$'\r'} $wanted"
}

# post PATH FILE: until the server has taken it. Ends the script when the attempt has ended.
post() {
    local pause=1 unknown=0 give_up_at=$((SECONDS + RETRY_SECONDS))
    while :; do
        call "$1" "$2"
        case $http_status in
        2??) return 0 ;;
        410) attempt_ended ;;
        404)
            unknown=$((unknown + 1))
            [[ $unknown -lt 3 ]] || attempt_ended
            ;;
        400 | 413)
            say "Dodai did not understand $1 (HTTP $http_status): $(head -c 300 "$WORK/answer")"
            return 1
            ;;
        esac
        if [[ $SECONDS -ge $give_up_at ]]; then
            say "no answer from $SERVER in $RETRY_SECONDS s; giving up"
            stop_worker
            exit 1
        fi
        pause_of "$pause"
        say "no answer to $1 (HTTP $http_status); again in $REPLY s"
        sleep "$REPLY"
        pause=$((pause * 2 < 30 ? pause * 2 : 30))
    done
}

# 410, or a token nobody knows: nothing may be written any more.
attempt_ended() {
    stop_worker
    sync
    say "this attempt has ended (HTTP $http_status); stopped writing"
    exit 0
}

# The worker has a process group of its own, so that all it started goes with it.
stop_worker() {
    local tries=0
    [[ -n $worker ]] || return 0
    kill -TERM -- "-$worker" 2>/dev/null || return 0
    while kill -0 -- "-$worker" 2>/dev/null && [[ $tries -lt 50 ]]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    kill -KILL -- "-$worker" 2>/dev/null || true
    worker=
}

# fail CAUSE MESSAGE: stop with words for the operator. In the worker, the main script reports them.
fail() {
    report_failure "$1" "$2" "" ""
}

on_error() {
    report_failure "$cause" "The command ended with code $1." "$2" "$3"
}

report_failure() {
    trap - ERR
    if [[ $BASHPID != "$$" ]]; then
        printf '%s\0%s\0%s\0%s\0' "$@" >"$WORK/failure"
        exit 1
    fi
    stop_worker
    say "FAILED in phase $phase, cause $1: $2${3:+ (line $3: $4)}"
    tail -n 40 "$LOG" | tee "$WORK/last" | grep -v '^\[' || true
    send_new_log
    jq -n --arg cause "$1" --arg message "$2" --arg phase "$phase" --arg line "$3" --arg command "${4:0:500}" \
        --rawfile output "$WORK/last" '{$cause, $message, $phase, line: ($line | tonumber? // null),
        $command, output: $output[-6000:]}' >"$WORK/failed.json"
    post event/failed "$WORK/failed.json" || true
    exit 1
}

trap 'on_error "$?" "$LINENO" "$BASH_COMMAND"' ERR

# run_worker MEASURE TOTAL_BYTES COMMAND...: run a command or function beside this script and report every second how
# many bytes MEASURE prints. Fails as the command failed; ends when the server says that the attempt has.
run_worker() {
    local measure=$1 total=$2 status=0 seconds=0 tick ended
    shift 2
    rm -f "$WORK/failure"
    set -m
    ("$@") </dev/null >>"$LOG" 2>&1 &
    worker=$!
    set +m
    while :; do
        sleep 1 &
        tick=$!
        ended=
        status=0
        wait -n -p ended "$worker" "$tick" || status=$?
        [[ ${ended:-} == "$tick" ]] || break
        report_progress "$($measure)" "$total"
        seconds=$((seconds + 1))
        [[ $((seconds % 3)) != 0 ]] || send_new_log
    done
    worker=
    [[ $status -ne 0 ]] || return 0
    worker_failed "$status" "$1"
}

worker_failed() {
    local -a told=()
    [[ ! -s $WORK/failure ]] || mapfile -d '' -t told <"$WORK/failure"
    report_failure "${told[0]:-$cause}" "${told[1]:-It ended with code $1.}" "${told[2]:-}" "${told[3]:-$2}"
}

no_bytes() {
    echo 0
}

# One try with a short limit: the work must not wait for a slow server.
report_progress() {
    printf '{"phase": "%s", "done_bytes": %d, "total_bytes": %d}\n' "$phase" "${1:-0}" "$2" >"$WORK/progress.json"
    call event/progress "$WORK/progress.json" 5
    [[ $http_status != 410 ]] || attempt_ended
}

# begin_phase NAME [TOTAL_BYTES]
begin_phase() {
    end_phase
    phase=$1
    say "phase $phase"
    printf '{"phase": "%s", "done_bytes": 0, "total_bytes": %d}\n' "$phase" "${2:-0}" >"$WORK/progress.json"
    post event/progress "$WORK/progress.json"
    send_new_log
}

phases_json=
phase_began=0
end_phase() {
    local elapsed
    uptime_hundredths
    elapsed=$((REPLY - phase_began))
    phase_began=$REPLY
    phases_json+=$(printf '%s"%s": %d.%02d' "${phases_json:+, }" "$phase" $((elapsed / 100)) $((elapsed % 100)))
}

# Whole lines that are new, in one try: the work must not wait for it. What was not taken goes with the next ones.
send_new_log() {
    local new='' lines
    IFS= read -r -d '' -u "$log_reader" new || true
    unsent+=$new
    [[ $unsent == *$'\n'* ]] || return 0
    lines=${unsent:0:60000}
    lines=${lines%$'\n'*}
    printf '%s\n' "$lines" >"$WORK/log.txt"
    call event/log "$WORK/log.txt" 5
    [[ $http_status == 2?? ]] || return 0
    unsent={% raw %}${unsent:${#lines}}{% endraw %} # by length: bash takes seconds to cut off a long text as a pattern
    unsent=${unsent#$'\n'}
}

# The rest, and until it was taken.
send_log() {
    send_new_log
    [[ -n $unsent ]] || return 0
    printf '%s' "$unsent" | tail -c 60000 >"$WORK/log.txt"
    post event/log "$WORK/log.txt" || true
}
