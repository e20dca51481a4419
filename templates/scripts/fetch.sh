# Fetching a whole image into the file IMAGE, and checking it.

fetched_bytes() {
    stat -c %s "$IMAGE" 2>/dev/null || echo 0
}

# Goes on where it stopped, as long as bytes come within half an hour.
fetch_image() {
    local pause=1 code said before give_up_at=$((SECONDS + RETRY_SECONDS))
    while before=$(fetched_bytes) && [[ $before -lt $IMAGE_BYTES ]]; do
        code=0
        said=$(curl --silent --show-error --fail --location --continue-at - --connect-timeout 10 --speed-limit 1 \
            --speed-time 60 --output "$IMAGE" --write-out '%{http_code} %header{retry-after}' "$IMAGE_URL") || code=$?
        take_status "$said"
        [[ $code -ne 0 ]] || break
        case $code in
        23) fail space "No room for the image where it was to be kept ($IMAGE)." ;;
        33) rm -f "$IMAGE" ;; # the server cannot go on in the middle
        esac
        case $http_status in
        408 | 425 | 429) ;; # too slow, too early, too often: later it may well
        4??) fail fetch "The server answered HTTP $http_status for $IMAGE_URL." ;;
        esac
        [[ $(fetched_bytes) -le $before ]] || { give_up_at=$((SECONDS + RETRY_SECONDS)) pause=1; }
        [[ $SECONDS -lt $give_up_at ]] || fail fetch "No bytes of $IMAGE_URL in $RETRY_SECONDS s (curl's code $code)."
        pause_of "$pause"
        echo "fetch: curl ended with code $code after $(fetched_bytes) bytes; going on in $REPLY s"
        sleep "$REPLY"
        pause=$((pause * 2 < 30 ? pause * 2 : 30))
    done
    [[ $(fetched_bytes) -eq $IMAGE_BYTES ]] ||
        fail digest "The image is $(fetched_bytes) bytes long, not the $IMAGE_BYTES that were planned."
}

hash_image() {
    exec openssl dgst -sha256 -r <"$IMAGE" >"$WORK/digest"
}

# How far the hash has read.
hashed_bytes() {
    awk '/^pos:/ { print $2 }' "/proc/$worker/fdinfo/0" 2>/dev/null || echo 0
}

check_digest() {
    local found
    read -r found _ <"$WORK/digest"
    [[ $found == "$IMAGE_SHA256" ]] ||
        fail digest "The image $IMAGE_NAME has the SHA-256 $found, the catalogue says $IMAGE_SHA256. It was not unpacked."
}
