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
    printf '# Written by Dodai.\ndatasource_list: [NoCloud, None]\n' | put 644 /etc/cloud/cloud.cfg.d/99-dodai.cfg
}

user_data() {
    jq -n --arg name "$DODAI_HOSTNAME" --arg keys "$DODAI_AUTHORIZED_KEYS" --arg zone "$DODAI_TIMEZONE" \
        --arg url "$DODAI_FIRST_BOOT_URL" '{
            fqdn: $name, hostname: ($name | split(".")[0]), manage_etc_hosts: true, preserve_hostname: false,
            disable_root: false, ssh_pwauth: false, ssh_deletekeys: true,
            ssh_authorized_keys: ($keys | split("\n") | map(select(. != ""))),
            phone_home: {url: $url, post: ["instance_id"], tries: 30},
            # At the second boot: the SSH server shows the sign of this install during the first one only.
            bootcmd: [["sh", "-c", "mkdir /var/lib/cloud/instance/dodai-sign 2>/dev/null || rm -f /etc/ssh/sshd_config.d/00-dodai.conf"]]
        } + (if $zone == "" then {} else {timezone: $zone} end)'
}

# Each line of the settings: mac dhcp, or: mac address/prefix gateway dns1,dns2 (a dash for none).
network_config() {
    jq -n --arg lines "$DODAI_NETWORK" '
        def cards: $lines | split("\n") | map(split(" ") | select(length > 1));
        def given($value): $value != null and $value != "-" and $value != "";
        def one: {match: {macaddress: (.[0] | ascii_downcase)}, optional: true}
            + if .[1] == "dhcp" then {dhcp4: true} else
                {addresses: [.[1]]}
                + (if given(.[2]) then {routes: [{to: (if .[2] | contains(":") then "::/0" else "0.0.0.0/0" end), via: .[2]}]} else {} end)
                + (if given(.[3]) then {nameservers: {addresses: (.[3] | split(","))}} else {} end)
            end;
        {version: 2, ethernets: (cards | to_entries | map({key: "dodai\(.key)", value: (.value | one)}) | from_entries)}'
}
