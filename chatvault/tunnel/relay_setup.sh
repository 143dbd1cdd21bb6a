#!/bin/sh
# Makes this host a relay for ChatVault: a user for the tunnel that can listen on port @PORT@ and do nothing else.
# For Debian, Ubuntu and Amazon Linux 2023, as root. Without `apply` it shows what it would change.
#   sh relay_setup.sh          show
#   sh relay_setup.sh apply    do
# It can be run again at any time: what is as it should be stays as it is. Nobody else's login is touched.
set -eu
umask 022
user='@USER@'
port='@PORT@'
key='@KEY@'
mode=${1:-show}
changes=0
keys_file=/etc/ssh/chatvault_authorized_keys
dropin=/etc/ssh/sshd_config.d/10-chatvault.conf
helper=/usr/local/libexec/chatvault-takeover
saved=

say() { printf '%s\n' "$*"; }
die() { printf 'error %s\n' "$*"; exit 1; }

# change WORDS... -- COMMAND...: one change, shown or done
change() {
    what=
    while [ "$1" != -- ]; do what="$what $1"; shift; done
    shift
    changes=$((changes + 1))
    if [ "$mode" != apply ]; then say "would$what"; return; fi
    "$@" || die "could not$what"
    say "done $what"
}

# put MODE PATH: the file shall hold what stands on stdin
put() {
    put_mode=$1 put_path=$2
    put_new=$(cat)
    if [ -f "$put_path" ] && [ "$(cat "$put_path")" = "$put_new" ] &&
        [ "$(stat -c '%a %u' "$put_path")" = "$put_mode 0" ]; then
        say "ok    $put_path"
        return
    fi
    changes=$((changes + 1))
    if [ "$mode" != apply ]; then
        say "would write $put_path (mode $put_mode):"
        printf '%s\n' "$put_new" | sed 's/^/    | /'
        return
    fi
    mkdir -p "$(dirname "$put_path")"
    put_temporary=$(mktemp "$put_path.XXXXXX")
    printf '%s\n' "$put_new" >"$put_temporary"
    chmod "$put_mode" "$put_temporary"
    mv -f "$put_temporary" "$put_path"
    if command -v restorecon >/dev/null 2>&1; then restorecon "$put_path" || true; fi
    say "done  write $put_path"
}

[ "$(id -u)" = 0 ] || die "this needs root: run it with sudo"
command -v sshd >/dev/null 2>&1 || [ -x /usr/sbin/sshd ] || die "there is no OpenSSH server here"
sshd=$(command -v sshd || echo /usr/sbin/sshd)
version=$(ssh -V 2>&1 | sed -n 's/^OpenSSH_\([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
major=${version% *} minor=${version#* }
if [ -n "$version" ] && { [ "$major" -lt 8 ] || { [ "$major" = 8 ] && [ "$minor" -lt 2 ]; }; }; then
    die "OpenSSH $major.$minor is too old: 8.2 is the first that can be set up without touching its main file"
fi
"$sshd" -t || die "sshd's settings are broken as they are: nothing is touched"

# 1. The user. '*' is no password but, unlike '!', not a locked account either, which sshd would refuse.
if id "$user" >/dev/null 2>&1; then
    say "ok    user $user"
else
    change make the system user "$user" -- useradd --system --user-group --create-home --home-dir "/var/lib/$user" --shell /bin/sh "$user"
fi
if id "$user" >/dev/null 2>&1 || [ "$mode" != apply ]; then
    [ "$(getent passwd "$user" | cut -d: -f7)" = /bin/sh ] || change give "$user" the shell /bin/sh for its one command -- usermod -s /bin/sh "$user"
    [ "$(getent shadow "$user" | cut -d: -f2)" = '*' ] || change give "$user" no password at all -- usermod -p '*' "$user"
fi

# 2. Its key, in a file of root's: the user cannot widen what the key may do.
put 644 "$keys_file" <<EOF
restrict,port-forwarding,permitlisten="$port",permitopen="localhost:1",command="$helper" $key chatvault
EOF

# 3. What lets a new session end an old one that still holds the port.
put 755 "$helper" <<'EOF'
#!/bin/sh
# The one command of ChatVault's tunnel key: ends this user's other SSH sessions, and nothing else.
field() {
    while read -r name value _; do
        if [ "$name" = "$2:" ]; then echo "$value"; return; fi
    done <"/proc/$1/status" 2>/dev/null
}
me=$(id -u)
ours=" "
process=$$
while [ "${process:-0}" -gt 1 ]; do
    ours="$ours$process "
    process=$(field "$process" PPid)
done
ended=0
for folder in /proc/[0-9]*; do
    process=${folder#/proc/}
    case "$ours" in *" $process "*) continue ;; esac
    [ "$(field "$process" Uid)" = "$me" ] || continue
    case "$(field "$process" Name)" in
    sshd | sshd-session) kill "$process" 2>/dev/null && ended=$((ended + 1)) ;;
    esac
done
echo "ended $ended"
EOF

# 4. What sshd lets the user do.
if [ -f "$dropin" ]; then saved=$(mktemp); cp -p "$dropin" "$saved"; fi
put 600 "$dropin" <<EOF
# Written by \`chatvault tunnel setup\`: for the user $user alone.
Match User $user
    AuthenticationMethods publickey
    PubkeyAuthentication yes
    PasswordAuthentication no
    KbdInteractiveAuthentication no
    AuthorizedKeysFile $keys_file
    AuthorizedKeysCommand none
    AllowTcpForwarding remote
    AllowStreamLocalForwarding no
    GatewayPorts clientspecified
    PermitListen $port
    PermitOpen none
    PermitTunnel no
    PermitTTY no
    PermitUserRC no
    X11Forwarding no
    AllowAgentForwarding no
    MaxSessions 1
    ForceCommand $helper
    ClientAliveInterval 5
    ClientAliveCountMax 2
Match all
EOF
include='Include /etc/ssh/sshd_config.d/*.conf'
add_include() {
    temporary=$(mktemp /etc/ssh/sshd_config.XXXXXX)
    { printf '%s\n' "$include"; cat /etc/ssh/sshd_config; } >"$temporary"
    chmod --reference=/etc/ssh/sshd_config "$temporary"
    mv -f "$temporary" /etc/ssh/sshd_config
}
if ! grep -Eqs '^[[:space:]]*Include[[:space:]]+"?/etc/ssh/sshd_config\.d/\*\.conf' /etc/ssh/sshd_config; then
    change put "'$include'" at the head of /etc/ssh/sshd_config -- add_include
fi

# 5. A peer that vanished is given up after half a minute instead of a quarter of an hour.
put 644 /etc/sysctl.d/60-chatvault.conf <<EOF
net.ipv4.tcp_retries2 = 6
EOF
if [ "$(cat /proc/sys/net/ipv4/tcp_retries2)" != 6 ]; then
    change set net.ipv4.tcp_retries2 to 6 -- sh -c 'echo 6 >/proc/sys/net/ipv4/tcp_retries2'
fi

# 6. A descriptor for every connection: systemd allows a service 1024.
unit=
if [ -d /run/systemd/system ]; then
    for each in ssh sshd; do
        if systemctl cat "$each.service" >/dev/null 2>&1; then unit=$each; break; fi
    done
fi
if [ -n "$unit" ]; then
    put 644 "/etc/systemd/system/$unit.service.d/chatvault.conf" <<EOF
[Service]
LimitNOFILE=65536
EOF
fi

# 7. Only settings that sshd accepts are taken into use.
reload() {
    if [ -n "$unit" ]; then
        systemctl daemon-reload
        systemctl reload "$unit"
        process=$(systemctl show -p MainPID --value "$unit")
    else
        process=$(cat /run/sshd.pid 2>/dev/null || true)
        if [ -n "$process" ]; then kill -HUP "$process"; fi
    fi
    # A reload keeps the running server's own limit.
    if [ "${process:-0}" -gt 1 ] && command -v prlimit >/dev/null 2>&1; then
        prlimit --pid "$process" --nofile=65536:65536 || true
    fi
}
if [ "$mode" = apply ] && ! "$sshd" -t; then
    if [ -n "$saved" ]; then mv -f "$saved" "$dropin"; else rm -f "$dropin"; fi
    die "sshd does not accept the new settings: they are taken back, nothing was reloaded"
fi
[ -z "$saved" ] || rm -f "$saved"
if [ "$changes" -gt 0 ]; then change check the settings and reload sshd -- reload; fi
if [ "$mode" = apply ]; then
    "$sshd" -T -C "user=$user,host=x,addr=203.0.113.1" | grep -qi '^gatewayports clientspecified' ||
        die "another line of sshd's settings overrides these: look for GatewayPorts before the Include"
fi
for each in /etc/ssh/ssh_host_ed25519_key.pub /etc/ssh/ssh_host_ecdsa_key.pub; do
    if [ -r "$each" ]; then say "hostkey $(cut -d' ' -f1,2 "$each")"; fi
done
say "changes $changes"
