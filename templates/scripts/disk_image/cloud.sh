# What makes the system on the disk this machine's own: by cloud-init where the image has it, else by files.

set_up() {
    local by=$SET_UP_BY
    cause=image
    if [[ $by == auto ]]; then
        by=files
        ! in_tree /usr/bin/cloud-init || by=cloud-init
    fi
    say "set up by $by"
    if [[ $by == cloud-init ]]; then
        write_time_of_clock
        write_identity
        write_seed
        write_sign
    else
        set_up_system
    fi
}

write_time_of_clock() {
    date -u -s "@$DODAI_TIME" >/dev/null
    hwclock -w -u || say "the hardware clock cannot be set"
}

# NoCloud: three files in the root file system. JSON is YAML, and jq quotes whatever stands in a value.
write_seed() {
    local seed=/var/lib/cloud/seed/nocloud name
    for name in instance instances sem data; do
        folder_of /var/lib/cloud
        rm -rf "$REPLY/${name:?}"
    done
    jq -n --arg id "$INSTANCE" --arg name "$DODAI_HOSTNAME" '{"instance-id": $id, "local-hostname": $name}' | put 600 "$seed/meta-data"
    { echo '#cloud-config' && user_data; } | put 600 "$seed/user-data"
    network_config | put 600 "$seed/network-config"
    [[ -z $DODAI_FIRST_BOOT_COMMANDS ]] || printf '%s\n' "$DODAI_FIRST_BOOT_COMMANDS" | put 700 /etc/dodai/first-boot-commands
    printf '# Written by Dodai.\ndatasource_list: [NoCloud, None]\n' | put 644 /etc/cloud/cloud.cfg.d/99-dodai.cfg
}

user_data() {
    jq -n --arg name "$DODAI_HOSTNAME" --arg keys "$DODAI_AUTHORIZED_KEYS" --arg zone "$DODAI_TIMEZONE" \
        --arg url "$DODAI_FIRST_BOOT_URL" --arg accounts "$DODAI_ACCOUNTS" --arg commands "$DODAI_FIRST_BOOT_COMMANDS" '
        def words: split("\n") | map(select(. != "") | split(" "));
        def accounts: $accounts | words | group_by(.[0]) | map({
            name: .[0][0], shell: "/bin/bash", lock_passwd: true, sudo: "ALL=(ALL) NOPASSWD:ALL",
            ssh_authorized_keys: map(.[1:] | join(" "))});
        {
            fqdn: $name, hostname: ($name | split(".")[0]), manage_etc_hosts: true, preserve_hostname: false,
            disable_root: false, ssh_pwauth: false, ssh_deletekeys: true,
            ssh_authorized_keys: ($keys | split("\n") | map(select(. != ""))),
            phone_home: {url: $url, post: ["instance_id", "pub_key_ed25519", "pub_key_ecdsa", "pub_key_rsa"], tries: 30},
            # At the second boot: the SSH server shows the sign of this install during the first one only.
            bootcmd: [["sh", "-c", "mkdir /var/lib/cloud/instance/dodai-sign 2>/dev/null || rm -f /etc/ssh/sshd_config.d/00-dodai.conf"]]
        } + (if $zone == "" then {} else {timezone: $zone} end)
        + (if accounts == [] then {} else {users: (["default"] + accounts)} end)
        + (if $commands == "" then {} else {runcmd: [["sh", "-c",
            "timeout 600 /etc/dodai/first-boot-commands >/var/log/dodai-first-boot.log 2>&1; rm -f /etc/dodai/first-boot-commands"]]} end)'
}

# Lines as in network.sh.
network_config() {
    jq -n --arg lines "$DODAI_NETWORK" '
        def given($value): $value != null and $value != "-" and $value != "";
        def lines: $lines | split("\n") | map(split(" ") | select(length > 1));
        def cards: lines | map(select(.[0] | contains(":")));
        def names: cards | to_entries | map({key: .value[0], value: "dodai\(.key)"}) | from_entries;
        def addresses($address; $gateway; $servers; $role):
            if $address == "dhcp" then {dhcp4: true} + (if $role == "storage" then {"dhcp4-overrides": {"use-routes": false}} else {} end)
            elif $address == "none" then {}
            else {addresses: [$address]}
                + (if given($gateway) and $role != "storage" then {routes: [{to: (if $gateway | contains(":") then "::/0" else "0.0.0.0/0" end), via: $gateway}]} else {} end)
                + (if given($servers) then {nameservers: {addresses: ($servers | split(","))}} else {} end)
            end;
        def card: {match: {macaddress: (.[0] | ascii_downcase)}, optional: true} + addresses(.[1]; .[2]; .[3]; .[4]);
        def bond: . as $bond | {interfaces: (cards | map(select(.[5] == $bond[1]) | names[.[0]])), parameters: {mode: .[5], "mii-monitor-interval": 100}}
            + addresses(.[2]; .[3]; .[4]; null);
        def vlan: {id: (.[5] | tonumber), link: (names[.[6]] // .[6])} + addresses(.[2]; .[3]; .[4]; null);
        def all($kind; one): lines | map(select(.[0] == $kind) | {key: .[1], value: one}) | from_entries;
        {version: 2, ethernets: (cards | map({key: names[.[0]], value: card}) | from_entries),
            bonds: all("bond"; bond), vlans: all("vlan"; vlan)} | with_entries(select(.value != {}))'
}
