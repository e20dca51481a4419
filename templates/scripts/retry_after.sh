# What a server wants of who asks again, for any sh. Who includes this sets longest_pause.

# Reads the headers of an answer, or of some; prints the last status, 000 without one, and what Retry-After says.
of_headers() {
    status=000 wanted=
    while read -r name value _; do
        value=${value%"$(printf '\r')"}
        case $name in
        HTTP/*) status=$value wanted= ;;
        [Rr][Ee][Tt][Rr][Yy]-[Aa][Ff][Tt][Ee][Rr]:) wanted=$value ;;
        esac
    done
    echo "$status $wanted"
}

# pause_of SECONDS WANTED: the first, or as many as the server wants, within a limit.
pause_of() {
    case $2 in
    '' | 0* | *[!0-9]* | ??????*) echo "$1" ;;
    *) echo $(($2 <= $1 ? $1 : $2 < longest_pause ? $2 : longest_pause)) ;;
    esac
}
