# Words to the console and to Dodai.

longest_pause=60 # however long the server says that it wants to be left alone
# Of this process alone: the heartbeat talks beside what the installer runs.
ANSWER=$WORK/answer.$$
HEADERS=$WORK/headers.$$

{% include "retry_after.sh" %}

say() {
    read -r uptime _ </proc/uptime
    printf '[%s] dodai: %s\n' "$uptime" "$*" | tee -a "$WORK/log" >/dev/console 2>/dev/null || true
}

# call PATH FILE: sets http_status (000: no whole answer) and retry_after, and leaves the answer in $ANSWER.
call() {
    type='application/json'
    case $2 in *.txt) type='text/plain; charset=utf-8' ;; esac
    code=0
    : >"$HEADERS"
    if command -v curl >/dev/null 2>&1; then
        curl --silent --config "$WORK/curlrc" --header "Content-Type: $type" --data-binary @"$2" --output "$ANSWER" \
            --dump-header "$HEADERS" --connect-timeout 10 --max-time 60 "$SERVER/$1" 2>/dev/null || code=$?
    else
        WGETRC="$WORK/wgetrc" wget -q -S -T 60 -t 1 -O "$ANSWER" --header="Content-Type: $type" --post-file="$2" \
            "$SERVER/$1" 2>"$HEADERS" || code=$?
    fi
    case $code in
    0 | 8) said=$(of_headers <"$HEADERS") ;; # 8: wget's, for an answer of the server that is an error
    *) said='000 ' ;;
    esac
    http_status=${said%% *}
    retry_after=${said#* }
}

# post PATH FILE: until the server has taken it. Halts the machine when the attempt has ended.
post() {
    pause=1
    waited=0
    unknown=0
    while [ "$waited" -lt "$RETRY_SECONDS" ]; do
        call "$1" "$2"
        case $http_status in
        2??) return 0 ;;
        410) halt_here "this attempt has ended" ;;
        404)
            unknown=$((unknown + 1))
            [ "$unknown" -lt 3 ] || halt_here "Dodai does not know this attempt"
            ;;
        400 | 413) halt_here "Dodai did not understand $1 (HTTP $http_status)" ;;
        esac
        wait=$(pause_of "$pause" "$retry_after")
        say "no answer to $1 (HTTP $http_status); again in $wait s"
        sleep "$wait"
        waited=$((waited + wait))
        pause=$((pause * 2 < 30 ? pause * 2 : 30))
    done
    halt_here "no answer from $SERVER in $RETRY_SECONDS s"
}

# fail CAUSE MESSAGE
fail() {
    printf '{"cause":%s,"message":%s}' "$(quoted "$1")" "$(quoted "$2")" >"$WORK/failed.json"
    call event/failed "$WORK/failed.json"
    halt_here "$2"
}

phase() {
    printf '{"phase":"%s","done_bytes":0,"total_bytes":0}' "$1" >"$WORK/progress.json"
    call event/progress "$WORK/progress.json"
    [ "$http_status" != 410 ] || halt_here "this attempt has ended"
}

# What the installer writes about itself goes to the log of the install, and shows that it is alive. Lines that may quote an
# answer stay here. Once the attempt has ended nothing more may be written: the machine goes off.
beat() {
    seen=0
    while sleep 15; do
        file=
        for file in /var/log/syslog /tmp/anaconda.log /var/log/installer/subiquity-server-info.log; do
            [ ! -s "$file" ] || break
        done
        length=$(wc -l <"$file" 2>/dev/null || echo 0)
        [ "$length" -ge "$seen" ] || seen=0
        {
            tail -n +$((seen + 1)) "$file" 2>/dev/null | head -n 400 | grep -v -i -e passw -e secret -e preseed -e debconf
            echo
        } | cut -c 1-300 | head -c 60000 >"$WORK/beat.txt"
        call event/log "$WORK/beat.txt"
        case $http_status in
        2??) seen=$((seen + 400 < length ? seen + 400 : length)) ;;
        410) halt_here "this attempt has ended" ;;
        esac
    done
}

# It outlives what started it, and holds nothing of it open: descriptor 3 leads to debconf in Debian's installer.
start_beat() {
    if command -v setsid >/dev/null 2>&1; then
        setsid sh /tmp/dodai beat >/dev/null 2>&1 </dev/null 3>&- &
    else
        (sh /tmp/dodai beat >/dev/null 2>&1 </dev/null 3>&- &)
    fi
}
