# shellcheck shell=bash disable=SC2034 # set here, used by who sources this
# lab.sh: a throw-away network with a web server and QEMU machines in it, for dlfuse-demo and tests/boot.
#
# The caller sets LAB_DIR (an existing empty directory), calls lab_network and lab_nginx_start, then starts
# machines one after the other. lab_cleanup ends everything by process id and is meant for an EXIT trap.
#
# Two kinds of network with the same addresses (server 10.0.2.2, node 10.0.2.15), so that kernel arguments agree:
#   user       QEMU's own network stack; needs no privileges, brings a DHCP server; the web server is on loopback
#   RATE       e.g. 100mbit: a network namespace with a tap, shaped towards the node by tbf; needs root

LAB_SERVER_ADDRESS=10.0.2.2
LAB_NODE_ADDRESS=10.0.2.15
# The same address for the tap's namespace and for slirp; eth0 because names by bus would differ between machines.
LAB_STATIC_IP="ip=$LAB_NODE_ADDRESS::$LAB_SERVER_ADDRESS:255.255.255.0::eth0:none rd.neednet=1 net.ifnames=0"
# The console shows the initramfs' boot messages, which a login prompt would cut off. An emulated timer can be too late for
# the kernel's test of it on a busy host, and then the kernel panics (IO-APIC + timer doesn't work).
LAB_CONSOLE="console=ttyS0,115200 systemd.mask=serial-getty@ttyS0.service rd.shell=0 panic=-1 no_timer_check"

LAB_NAMESPACE=
LAB_IN=()
LAB_HTTP_PORT=
LAB_NODE_PORT=
LAB_NGINX_PID=
LAB_VM_PID=
LAB_VM_DIR=

lab_fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    return 1
}

# Prints a free TCP port of loopback, below the ports that the kernel gives to clients: any of those may be taken at any time.
lab_free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 10000))
        (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

# lab_network user|RATE
lab_network() {
    LAB_HTTP_PORT=$(lab_free_port)
    if [ "$1" = user ]; then
        LAB_NODE_PORT=$(lab_free_port)
        return
    fi
    LAB_NAMESPACE=dlfuse-lab-$$
    ip netns add "$LAB_NAMESPACE" || lab_fail "cannot make a network namespace: --rate needs root"
    LAB_IN=(ip netns exec "$LAB_NAMESPACE")
    "${LAB_IN[@]}" ip link set lo up
    "${LAB_IN[@]}" ip tuntap add dev lab0 mode tap
    "${LAB_IN[@]}" ip address add "$LAB_SERVER_ADDRESS/24" dev lab0
    "${LAB_IN[@]}" ip link set lab0 up
    # The queue holds 50 ms: enough for one TCP stream to fill the link, as a switch port would do.
    "${LAB_IN[@]}" tc qdisc add dev lab0 root tbf rate "$1" burst 128kb latency 50ms ||
        lab_fail "tc refused the rate $1: it wants something like 100mbit"
}

# URL of a path on the web server, as the node sees it.
lab_url() { echo "http://$LAB_SERVER_ADDRESS:$LAB_HTTP_PORT/$1"; }

# lab_nginx_start DIRECTORY: serves DIRECTORY; the access log is $LAB_DIR/access.log. LAB_NGINX_SERVER holds further
# directives for it.
lab_nginx_start() {
    local listen=127.0.0.1 user=
    [ -z "$LAB_NAMESPACE" ] || listen=$LAB_SERVER_ADDRESS
    # The worker must be able to read directories below the invoking user's home.
    [ "$(id -u)" != 0 ] || user="user root;"
    mkdir -p "$LAB_DIR/nginx"
    cat >"$LAB_DIR/nginx/nginx.conf" <<CONF
daemon off;
$user
worker_processes 1;
pid $LAB_DIR/nginx/nginx.pid;
error_log $LAB_DIR/nginx/error.log;
events { worker_connections 1024; }
http {
    log_format lab '\$msec \$status \$bytes_sent \$body_bytes_sent "\$request" "\$http_range"';
    access_log $LAB_DIR/access.log lab;
    client_body_temp_path $LAB_DIR/nginx/body;
    proxy_temp_path $LAB_DIR/nginx/proxy;
    fastcgi_temp_path $LAB_DIR/nginx/fastcgi;
    uwsgi_temp_path $LAB_DIR/nginx/uwsgi;
    scgi_temp_path $LAB_DIR/nginx/scgi;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    server {
        listen $listen:$LAB_HTTP_PORT;
        root $1;
        ${LAB_NGINX_SERVER:-}
    }
}
CONF
    "${LAB_IN[@]}" nginx -p "$LAB_DIR/nginx" -c "$LAB_DIR/nginx/nginx.conf" 2>"$LAB_DIR/nginx/stderr.log" &
    LAB_NGINX_PID=$!
    lab_wait_http 10 "http://$listen:$LAB_HTTP_PORT/" "$LAB_NGINX_PID" ||
        lab_fail "nginx does not answer on $listen:$LAB_HTTP_PORT; $LAB_DIR/nginx has its logs"
}

lab_nginx_stop() {
    [ -n "$LAB_NGINX_PID" ] || return 0
    kill "$LAB_NGINX_PID" 2>/dev/null || true
    wait "$LAB_NGINX_PID" 2>/dev/null || true
    LAB_NGINX_PID=
}

# lab_wait_http SECONDS URL PID: waits for any HTTP answer while PID lives.
lab_wait_http() {
    local end=$((SECONDS + $1))
    while [ "$SECONDS" -lt "$end" ]; do
        if "${LAB_IN[@]}" curl --silent --output /dev/null --max-time 3 "$2"; then
            return 0
        fi
        kill -0 "$3" 2>/dev/null || return 1
        sleep 0.2
    done
    return 1
}

# lab_wait_line SECONDS FILE REGEX: waits for a line in a log of the running machine.
lab_wait_line() {
    local end=$((SECONDS + $1))
    while ! grep -qaE "$3" "$2" 2>/dev/null; do
        if [ "$SECONDS" -ge "$end" ] || ! kill -0 "$LAB_VM_PID" 2>/dev/null; then
            # The line may have come between the check and the machine's end.
            grep -qaE "$3" "$2" 2>/dev/null && return 0
            return 1
        fi
        sleep 0.2
    done
}

# lab_add_agent SCRIPT INITRD NEW-INITRD [FILE...]
# An initramfs that makes the booted system run SCRIPT as a service, with FILEs beside it in /run/lab. Its output
# should go to /dev/ttyS1. Nothing in the image changes: the unit lies in /run, where a hook of dracut or of initramfs-tools
# copies it.
lab_add_agent() {
    local dir=$LAB_DIR/agent script=$1 initrd=$2 new=$3
    shift 3
    rm -rf "$dir"
    mkdir -p "$dir/usr/lib/dracut/hooks/pre-pivot" "$dir/scripts/dlfuse-bottom" "$dir/lab"
    cp "$script" "$dir/lab/agent.sh"
    [ $# -eq 0 ] || cp "$@" "$dir/lab/"
    cat >"$dir/lab/lab-agent.service" <<'UNIT'
[Unit]
Description=Test agent of the lab
After=network.target nginx.service
IgnoreOnIsolate=yes
[Service]
Type=exec
ExecStart=/bin/sh /run/lab/agent.sh
StandardOutput=null
StandardError=journal
UNIT
    cat >"$dir/usr/lib/dracut/hooks/pre-pivot/99-lab.sh" <<'HOOK'
#!/bin/sh
mkdir -p /run/systemd/system/multi-user.target.wants
cp -r /lab /run/lab
cp /lab/lab-agent.service /run/systemd/system/lab-agent.service
ln -sf ../lab-agent.service /run/systemd/system/multi-user.target.wants/lab-agent.service
HOOK
    chmod +x "$dir/usr/lib/dracut/hooks/pre-pivot/99-lab.sh"
    # initramfs-tools runs the scripts that its file ORDER lists.
    cp "$dir/usr/lib/dracut/hooks/pre-pivot/99-lab.sh" "$dir/scripts/dlfuse-bottom/lab"
    echo /scripts/dlfuse-bottom/lab >"$dir/scripts/dlfuse-bottom/ORDER"
    lab_add_files "$dir" "$initrd" "$new"
}

# lab_add_hook NAME INITRD NEW-INITRD: an initramfs with the script on stdin as a dracut hook, for example
# pre-pivot/10-this.
lab_add_hook() {
    local dir=$LAB_DIR/hook file=$LAB_DIR/hook/usr/lib/dracut/hooks/$1.sh
    rm -rf "$dir"
    mkdir -p "${file%/*}"
    cat >"$file"
    chmod +x "$file"
    lab_add_files "$dir" "$2" "$3"
}

# lab_add_files DIRECTORY INITRD NEW-INITRD: an initramfs with the files below DIRECTORY added. Below usr only files are
# added: their directories must exist. Since dracut 104 the directory of the hooks is a link. Files go through that link,
# but a directory would replace it, so the files also come after it.
lab_add_files() {
    local size
    size=$(stat -L -c %s "$2") || return 1
    # The kernel unpacks one archive after the other, if each begins at a multiple of four bytes. There must be four zeros
    # at least: they show it where LZ4 ends.
    {
        cat "$2" && head -c $((8 - size % 4)) /dev/zero &&
            (cd "$1" && find . ! \( -type d -path './usr*' \) | LC_ALL=C sort |
                cpio --quiet --create --format=newc --owner=0:0)
    } >"$3"
}

# lab_vm_start NAME KERNEL INITRD APPEND [QEMU-ARGUMENT...]
# Starts a machine. Its logs are $LAB_VM_DIR/console.log and serial.log (second port).
lab_vm_start() {
    local name=$1 kernel=$2 initrd=$3 append=$4 netdev
    shift 4
    LAB_VM_DIR=$LAB_DIR/$name
    mkdir -p "$LAB_VM_DIR"
    # Empties the logs: an earlier machine of that name may have written to them.
    : >"$LAB_VM_DIR/console.log"
    : >"$LAB_VM_DIR/serial.log"
    if [ -n "$LAB_NAMESPACE" ]; then
        netdev=tap,id=net0,ifname=lab0,script=no,downscript=no
    else
        netdev=user,id=net0,hostfwd=tcp:127.0.0.1:$LAB_NODE_PORT-:80
    fi
    # tb-size: with QEMU's default of 1 GiB of translated code, writes to pages that once held code took the guest
    # up to a second each (QEMU 7.2, soft lockups of minutes); a small buffer is emptied before it comes to that.
    "${LAB_IN[@]}" qemu-system-x86_64 -accel tcg,thread=multi,tb-size=256 -machine q35 -smp 2 -m 4096 \
        -nodefaults -no-user-config -no-reboot -display none -monitor none \
        -serial "file:$LAB_VM_DIR/console.log" -serial "file:$LAB_VM_DIR/serial.log" \
        -netdev "$netdev" -device virtio-net-pci,netdev=net0,romfile= -device virtio-rng-pci \
        -kernel "$kernel" -initrd "$initrd" -append "$LAB_CONSOLE $append" "$@" \
        </dev/null >"$LAB_VM_DIR/qemu.log" 2>&1 &
    LAB_VM_PID=$!
    LAB_VM_START_MS=$(lab_now_ms)
}

lab_now_ms() { echo $(($(date +%s%N) / 1000000)); }

# lab_vm_wait_ready SECONDS: waits until nginx in the node answers; prints the milliseconds since the start.
lab_vm_wait_ready() {
    local url=http://127.0.0.1:$LAB_NODE_PORT/
    [ -z "$LAB_NAMESPACE" ] || url=http://$LAB_NODE_ADDRESS/
    lab_wait_http "$1" "$url" "$LAB_VM_PID" || return 1
    echo $(($(lab_now_ms) - LAB_VM_START_MS))
}

# lab_vm_wait_end SECONDS: waits for the machine to switch itself off.
lab_vm_wait_end() {
    local end=$((SECONDS + $1))
    while kill -0 "$LAB_VM_PID" 2>/dev/null; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.2
    done
    wait "$LAB_VM_PID" 2>/dev/null || true
    LAB_VM_PID=
}

lab_vm_stop() {
    [ -n "$LAB_VM_PID" ] || return 0
    kill "$LAB_VM_PID" 2>/dev/null || true
    wait "$LAB_VM_PID" 2>/dev/null || true
    LAB_VM_PID=
}

# lab_cleanup: ends everything that was started. Safe to call at any time, and twice.
lab_cleanup() {
    lab_vm_stop
    lab_nginx_stop
    if [ -n "$LAB_NAMESPACE" ]; then
        ip netns delete "$LAB_NAMESPACE" 2>/dev/null || true
        LAB_NAMESPACE=
    fi
}
