#!/bin/sh
# Tells Dodai that this system is up, once, and then removes itself. Written by the installer.

folder=/etc/dodai
url=$(cat "$folder/first-boot.url") || exit 0
commands=$folder/first-boot-commands
commands_log=/var/log/dodai-first-boot.log
commands_may_take=600
give_up_after=1800
longest_pause=60 # however long the server says that it wants to be left alone

# What the image's owner wants done once, before the call. Sets said: how that ended, for the call.
run_commands() {
    said=
    [ -f "$commands" ] || return 0
    mv "$commands" "$commands.begun" # a restart in the middle begins it no second time
    code=0
    timeout "$commands_may_take" "$commands.begun" >"$commands_log" 2>&1 </dev/null || code=$?
    said=commands=$code
    rm -f "$commands.begun"
}

# Adds to said the public halves of the keys by which the SSH server is known, as long as the system has one.
tell_host_keys() {
    host_keys=
    for key_file in /etc/ssh/ssh_host_*_key.pub; do
        [ -r "$key_file" ] || continue
        read -r key_type key_body _ <"$key_file" || continue
        while :; do
            case $key_body in *+*) key_body=${key_body%%+*}%2B${key_body#*+} ;; *) break ;; esac
        done
        host_keys="$host_keys$key_type+$key_body%0A"
    done
    [ -z "$host_keys" ] || said="${said:+$said&}host_keys=$host_keys"
}

# Another unit makes them at the first start, in a moment.
wait_for_host_keys() {
    tries=0
    while [ -x /usr/sbin/sshd ] && [ -d /etc/ssh ] && [ ! -r /etc/ssh/ssh_host_ed25519_key.pub ] && [ "$tries" -lt 10 ]; do
        tries=$((tries + 1))
        sleep 1
    done
}

# Prints the HTTP status, or 000, and what Retry-After says. The address is a secret: curl and GNU wget get it by their
# standard input.
call() {
    if command -v curl >/dev/null 2>&1; then
        printf 'url = "%s"\n' "$url" |
            curl --silent --output /dev/null --dump-header - --max-time 30 --data "$said" --config - | of_headers
    elif wget --version >/dev/null 2>&1; then
        printf '%s\n' "$url" | wget --quiet --server-response --output-document=/dev/null --timeout=30 --tries=1 \
            --post-data="$said" --input-file=- 2>&1 | of_headers
    elif command -v wget >/dev/null 2>&1; then
        # busybox: no status, but an error names it; Debian 12's crashes when given -T
        if told=$(timeout 30 wget -q -O /dev/null --post-data "$said" "$url" 2>&1); then
            echo '200 '
        else
            case $told in *' 410'*) echo '410 ' ;; *' 404'*) echo '404 ' ;; *) echo '000 ' ;; esac
        fi
    else
        call_with_bash | of_headers
    fi
}

{% include "retry_after.sh" %}

# A minimal system may have neither, but bash can open a connection (http only).
call_with_bash() {
    bash -c '
        [[ $1 =~ ^http://([^/:]+)(:([0-9]+))?(/.*)$ ]] || exit 1
        exec 3<>"/dev/tcp/${BASH_REMATCH[1]}/${BASH_REMATCH[3]:-80}" || exit 1
        printf "POST %s HTTP/1.0\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\n" "${BASH_REMATCH[4]}" "${BASH_REMATCH[1]}" >&3
        printf "Content-Length: %d\r\n\r\n%s" "$3" "$2" >&3
        while read -r -t 30 line <&3 && [[ $line == *[![:space:]]* ]]; do echo "$line"; done' dodai "$url" "$said" "$(printf %s "$said" | wc -c)" 2>/dev/null
}

remove() {
    rm -f "$folder/first-boot.url" "$folder/first-boot" /etc/systemd/system/dodai-first-boot.service \
        /etc/systemd/system/multi-user.target.wants/dodai-first-boot.service \
        /etc/ssh/sshd_config.d/00-dodai.conf
}

run_commands
wait_for_host_keys
tell_host_keys
pause=1
waited=0
unknown=0
while [ "$waited" -lt "$give_up_after" ]; do
    answer=$(call)
    status=${answer%% *}
    case $status in
    2?? | 410)
        remove
        exit 0
        ;;
    404)
        unknown=$((unknown + 1))
        if [ "$unknown" -ge 3 ]; then
            remove
            exit 0
        fi
        ;;
    esac
    wait=$(pause_of "$pause" "${answer#* }")
    sleep "$wait"
    waited=$((waited + wait))
    # The network may come up a little later than this: ask often at first.
    [ "$waited" -lt 20 ] || pause=$((pause * 2 < 30 ? pause * 2 : 30))
done
exit 1
