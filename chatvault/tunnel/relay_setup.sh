#!/bin/sh
# Makes this host a relay for ChatVault: a user for the tunnel that can listen on port @PORT@ and do nothing else.
# For Debian, Ubuntu and Amazon Linux 2023, as root. Without `apply` it shows what it would change.
#   sh relay_setup.sh          show
#   sh relay_setup.sh apply    do
# It can be run again at any time: what is as it should be stays as it is. Nobody else's login is touched.
set -eu
umask 022
export LC_ALL=C
user='@USER@'
port='@PORT@'
key='@KEY@'
mode=${1:-show}
changes=0
keys_file=/etc/ssh/chatvault_authorized_keys
dropin=/etc/ssh/sshd_config.d/10-chatvault.conf
helper=/usr/local/libexec/chatvault-takeover
main=/etc/ssh/sshd_config
mark="ChatVault's tunnel"
saved=
made_user=

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

# Sets `settings` to all that sshd would do for a user, sorted.
settings_for() {
    who="user=$1,host=x,addr=192.0.2.1,laddr=192.0.2.2,lport=22"
    settings=$("$sshd" -T -C "$who" 2>/dev/null) || die "$("$sshd" -T -C "$who" 2>&1 >/dev/null | tail -n 1)"
    settings=$(printf '%s\n' "$settings" | sort)
}
others() { printf '%s\n' root ${SUDO_USER:+"$SUDO_USER"} chatvault-nobody; }

# Until all is checked, whatever ends this script takes back what sshd reads: it must always be able to start.
take_back() {
    code=$?
    trap - EXIT
    rm -f "$main".chatvault.* "$keys_file".chatvault.* "$dropin".chatvault.* "$helper".chatvault.*
    for each in "$main" "$dropin" "$keys_file" "$helper"; do
        if [ ! -e "$saved$each" ]; then
            rm -f "$each"
        elif ! cmp -s "$saved$each" "$each"; then
            cp -a "$saved$each" "$each.chatvault" && mv -f "$each.chatvault" "$each"
        fi
    done
    [ -z "$made_user" ] || userdel -r "$user" >/dev/null 2>&1 || true
    rm -rf "$saved"
    exit "$code"
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
    put_temporary=$(mktemp "$put_path.chatvault.XXXXXX")
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

# A login of somebody's must never become the tunnel's: it would be shut out. Only a user made here is taken.
if entry=$(getent passwd "$user"); then
    id=$(printf '%s' "$entry" | cut -d: -f3)
    if [ "$id" -eq 0 ] || [ "$id" -ge 1000 ] ||
        [ "$(printf '%s' "$entry" | cut -d: -f5,6)" != "$mark:/var/lib/$user" ]; then
        die "the user $user is there already and was not made by this setup: nothing is touched. Name another one as tunnel.user"
    fi
fi

if [ "$mode" = apply ]; then
    saved=$(mktemp -d)
    trap 'rm -rf "$saved"' EXIT
    for each in $(others); do
        settings_for "$each"
        printf '%s\n' "$settings" >"$saved/before.$each"
    done
    for each in "$main" "$dropin" "$keys_file" "$helper"; do
        if [ -e "$each" ]; then
            mkdir -p "$saved$(dirname "$each")"
            cp -a "$each" "$saved$each"
        fi
    done
    trap take_back EXIT
    trap 'exit 1' HUP INT TERM
fi

# 1. The user. '*' is no password but, unlike '!', not a locked account either, which sshd would refuse.
if id "$user" >/dev/null 2>&1; then
    say "ok    user $user"
else
    [ "$mode" != apply ] || made_user=yes
    change make the system user "$user" -- useradd --system --comment "$mark" --user-group --create-home --home-dir "/var/lib/$user" --shell /bin/sh "$user"
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
    # Where nobody gathers them, as in a container, sessions that have ended stay in the list.
    [ "$(field "$process" State)" != Z ] || continue
    case "$(field "$process" Name)" in
    sshd | sshd-session) kill "$process" 2>/dev/null && ended=$((ended + 1)) ;;
    esac
done
echo "ended $ended"
EOF

# 4. What sshd lets the user do.
changes_before=$changes
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
    temporary=$(mktemp "$main.chatvault.XXXXXX")
    { printf '%s\n' "$include"; cat "$main"; } >"$temporary"
    chmod --reference="$main" "$temporary"
    mv -f "$temporary" "$main"
}
if ! grep -Eqs '^[[:space:]]*Include[[:space:]]+"?/etc/ssh/sshd_config\.d/\*\.conf' "$main"; then
    change put "'$include'" at the head of /etc/ssh/sshd_config -- add_include
fi

# 5. Only settings that sshd accepts, that hold, and that change nothing for others are taken into use.
check_limits() {
    settings_for "$user"
    while read -r line; do
        if printf '%s\n' "$settings" | grep -qixF -- "$line"; then continue; fi
        is=$(printf '%s\n' "$settings" | grep -i "^${line%% *} " || true)
        die "another line of sshd's settings overrides ours: '$is' holds for $user in place of '$line'. Look for a Match block that is read before $dropin"
    done <<EOF
authenticationmethods publickey
pubkeyauthentication yes
passwordauthentication no
kbdinteractiveauthentication no
authorizedkeysfile $keys_file
authorizedkeyscommand none
allowtcpforwarding remote
allowstreamlocalforwarding no
gatewayports clientspecified
permitlisten *:$port
permitopen none
permittunnel no
permittty no
permituserrc no
x11forwarding no
allowagentforwarding no
maxsessions 1
forcecommand $helper
clientaliveinterval 5
clientalivecountmax 2
EOF
}
if [ "$mode" = apply ]; then
    "$sshd" -t || die "sshd does not accept the new settings: they are taken back, nothing was reloaded"
    for each in $(others); do
        settings_for "$each"
        said=$(printf '%s\n' "$settings" | comm -3 "$saved/before.$each" - | sed "s/^$(printf '\t')/now /;t;s/^/was /" | head -n 8 | tr '\n' ',')
        [ -z "$said" ] || die "this would change sshd for other users as well, so it is taken back: ${said%,}. A file in $(dirname "$dropin") that was not in use would be woken by '$include'"
    done
    check_limits
    trap - EXIT
    rm -rf "$saved"
elif [ "$changes" = "$changes_before" ] && id "$user" >/dev/null 2>&1; then
    check_limits
fi

# 6. A peer that vanished is given up after half a minute instead of a quarter of an hour.
put 644 /etc/sysctl.d/60-chatvault.conf <<EOF
net.ipv4.tcp_retries2 = 6
EOF
if [ "$(cat /proc/sys/net/ipv4/tcp_retries2)" != 6 ]; then
    change set net.ipv4.tcp_retries2 to 6 -- sh -c 'echo 6 >/proc/sys/net/ipv4/tcp_retries2'
fi

# 7. A descriptor for every connection: systemd allows a service 1024.
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

# 8. The server takes it over.
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
if [ "$changes" -gt 0 ]; then change reload sshd -- reload; fi
for each in /etc/ssh/ssh_host_ed25519_key.pub /etc/ssh/ssh_host_ecdsa_key.pub; do
    if [ -r "$each" ]; then say "hostkey $(cut -d' ' -f1,2 "$each")"; fi
done
say "changes $changes"
