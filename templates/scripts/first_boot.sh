#!/bin/sh
# Tells Dodai that this system is up, once, and then removes itself. Written by the installer.

folder=/etc/dodai
url=$(cat "$folder/first-boot.url") || exit 0
give_up_after=1800
longest_pause=60 # however long the server says that it wants to be left alone

# Prints the HTTP status, or 000, and what Retry-After says. The address is a secret: curl and GNU wget get it by their
# standard input.
call() {
    if command -v curl >/dev/null 2>&1; then
        printf 'url = "%s"\n' "$url" |
            curl --silent --output /dev/null --dump-header - --max-time 30 --request POST --config - | of_headers
    elif wget --version >/dev/null 2>&1; then
        printf '%s\n' "$url" | wget --quiet --server-response --output-document=/dev/null --timeout=30 --tries=1 \
            --post-data='' --input-file=- 2>&1 | of_headers
    elif command -v wget >/dev/null 2>&1; then
        # busybox: no status, but an error names it; Debian 12's crashes when given -T
        if said=$(timeout 30 wget -q -O /dev/null --post-data '' "$url" 2>&1); then
            echo '200 '
        else
            case $said in *' 410'*) echo '410 ' ;; *' 404'*) echo '404 ' ;; *) echo '000 ' ;; esac
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
        printf "POST %s HTTP/1.0\r\nHost: %s\r\nContent-Length: 0\r\n\r\n" "${BASH_REMATCH[4]}" "${BASH_REMATCH[1]}" >&3
        while read -r -t 30 line <&3 && [[ $line == *[![:space:]]* ]]; do echo "$line"; done' dodai "$url" 2>/dev/null
}

remove() {
    rm -f "$folder/first-boot.url" "$folder/first-boot" /etc/systemd/system/dodai-first-boot.service \
        /etc/systemd/system/multi-user.target.wants/dodai-first-boot.service \
        /etc/ssh/sshd_config.d/00-dodai.conf
}

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
