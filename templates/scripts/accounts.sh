# The accounts of the settings beside root's, in the system below $ROOT: lines with an account and one of its keys. For any
# sh; who includes this has put, folder_of, in_tree, say and fail.

write_accounts() {
    accounts=
    while read -r account key; do
        [ -n "$key" ] || continue
        find_account "$account" || add_account "$account"
        case " $accounts " in *" $account "*) ;; *) open_home "$account" ;; esac
        accounts="$accounts $account"
        printf '%s\n' "$key" >>"$HOME_FOLDER/.ssh/authorized_keys"
    done <<DODAI_LINES
$DODAI_ACCOUNTS
DODAI_LINES
    [ -z "$accounts" ] || allow_sudo
}

# table NAME: the file of accounts in /etc; sets REPLY. A link could lead out of the tree.
table() {
    folder_of /etc
    REPLY=$REPLY/$1
    if [ ! -f "$REPLY" ] || [ -L "$REPLY" ]; then
        fail image "The image has no file /etc/$1: accounts cannot be made in it."
    fi
}

# find_account NAME: sets ACCOUNT_ID, ACCOUNT_GROUP and ACCOUNT_HOME.
find_account() {
    table passwd
    while IFS=: read -r found _ ACCOUNT_ID ACCOUNT_GROUP _ ACCOUNT_HOME _; do
        [ "$found" != "$1" ] || return 0
    done <"$REPLY"
    return 1
}

add_account() {
    shell=/bin/sh
    ! in_tree /bin/bash || shell=/bin/bash
    table group
    ACCOUNT_ID=$(awk -F: '$3 >= 1000 && $3 < 60000 { taken[$3] = 1 } END { id = 1000; while (id in taken) id++; print id }' "$REPLY" "${REPLY%/*}/passwd")
    ACCOUNT_GROUP=$ACCOUNT_ID ACCOUNT_HOME=/home/$1
    printf '%s:x:%s:\n' "$1" "$ACCOUNT_ID" >>"$REPLY"
    table passwd
    printf '%s:x:%s:%s::%s:%s\n' "$1" "$ACCOUNT_ID" "$ACCOUNT_ID" "$ACCOUNT_HOME" "$shell" >>"$REPLY"
    in_tree /etc/shadow || return 0
    table shadow
    printf '%s:*:::::::\n' "$1" >>"$REPLY" # no password opens it
}

# open_home NAME: its folder with an empty file of keys; sets HOME_FOLDER.
open_home() {
    case $ACCOUNT_HOME in /?*) ;; *) fail image "The account $1 of the image has no home folder." ;; esac
    folder_of "$ACCOUNT_HOME"
    HOME_FOLDER=$REPLY
    folder_of "$ACCOUNT_HOME/.ssh"
    [ "$REPLY" = "$HOME_FOLDER/.ssh" ] || fail image "The image has ~$1/.ssh as a link."
    chmod 700 "$HOME_FOLDER/.ssh"
    printf '' | put 600 "$ACCOUNT_HOME/.ssh/authorized_keys"
    chown "$ACCOUNT_ID:$ACCOUNT_GROUP" "$HOME_FOLDER" "$HOME_FOLDER/.ssh" "$HOME_FOLDER/.ssh/authorized_keys"
}

allow_sudo() {
    printf '%s\n' "$DODAI_ACCOUNTS" | awk 'NF && !seen[$1]++ { print $1 " ALL=(ALL) NOPASSWD:ALL" }' | put 440 /etc/sudoers.d/90-dodai
    in_tree /usr/bin/sudo || say "the image has no sudo: its accounts cannot become root"
}
