// The first program of both machines, in their initramfs: loads modules, mounts, and becomes what the machine is for.
//
//   guest_mode=system  mounts the first disk as /, the second as /nix/store, and becomes its /sbin/init.
//   guest_mode=program mounts the first disk as /data, sets up the network, and becomes the program that the kernel's
//                      command line names after "--". That program is PID 1 then, and the only one besides a child of
//                      this one that plays the platform: the power button becomes SIGTERM, and the end of PID 1,
//                      at which a kernel panics, becomes sync, umount and power off.
//
// The kernel hands us its command line: NAME=VALUE as environment, what follows "--" as arguments.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/input.h>
#include <net/if.h>
#include <net/route.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// A disk appears within milliseconds of its module; a loaded host may need seconds for them.
enum { DISK_TRIES = 1000, DISK_WAIT_US = 10000 };

static void say(const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    printf("guest: ");
    vprintf(format, rest);
    printf("\n");
    fflush(stdout);
    va_end(rest);
}

// Nothing below can go on after a failure: the machine is switched off, and the driver finds the reason on the console.
static void must(int ok, const char *what) {
    if (ok) return;
    say("%s: %s", what, strerror(errno));
    reboot(RB_POWER_OFF);
}

static void mounted(const char *source, const char *target, const char *type, unsigned long flags) {
    mkdir(target, 0755);
    must(mount(source, target, type, flags, NULL) == 0, target);
}

// /modules holds them named in the order in which they must be loaded.
static void load_modules(void) {
    struct dirent **entries;
    int count = scandir("/modules", &entries, NULL, alphasort);
    must(count >= 0, "/modules");
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] == '.') continue;
        char path[512];
        snprintf(path, sizeof path, "/modules/%s", entries[i]->d_name);
        int file = open(path, O_RDONLY | O_CLOEXEC);
        must(file >= 0, path);
        must(syscall(SYS_finit_module, file, "", 0) == 0 || errno == EEXIST, path);
        close(file);
    }
}

static void wait_for_disk(const char *path) {
    for (int i = 0; i < DISK_TRIES && access(path, F_OK) != 0; i++) usleep(DISK_WAIT_US);
    must(access(path, F_OK) == 0, path);
}

static void become_system(void) {
    wait_for_disk("/dev/vda");
    mounted("/dev/vda", "/disk", "ext4", 0);
    wait_for_disk("/dev/vdb");
    mounted("/dev/vdb", "/disk/nix/store", "squashfs", MS_RDONLY);
    // systemd takes mounts over that are where it wants them.
    must(mount("/dev", "/disk/dev", NULL, MS_MOVE, NULL) == 0, "move /dev");
    must(mount("/proc", "/disk/proc", NULL, MS_MOVE, NULL) == 0, "move /proc");
    must(mount("/sys", "/disk/sys", NULL, MS_MOVE, NULL) == 0, "move /sys");
    must(chdir("/disk") == 0 && mount(".", "/", NULL, MS_MOVE, NULL) == 0 && chroot(".") == 0, "switch to the disk");
    execl("/sbin/init", "/sbin/init", (char *)NULL);
    must(0, "/sbin/init");
}

static void interface_up(int sock, const char *name) {
    struct ifreq request = {0};
    strcpy(request.ifr_name, name);
    must(ioctl(sock, SIOCGIFFLAGS, &request) == 0, name);
    request.ifr_flags |= IFF_UP;
    must(ioctl(sock, SIOCSIFFLAGS, &request) == 0, name);
}

// qemu's user network always is 10.0.2.0/24 with the host at .2; Debian's kernel has no ip=dhcp.
static void set_up_network(void) {
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    must(sock >= 0, "socket");
    interface_up(sock, "lo");
    struct ifreq request = {0};
    struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;
    strcpy(request.ifr_name, "eth0");
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = inet_addr("10.0.2.15");
    must(ioctl(sock, SIOCSIFADDR, &request) == 0, "address of eth0");
    address->sin_addr.s_addr = inet_addr("255.255.255.0");
    must(ioctl(sock, SIOCSIFNETMASK, &request) == 0, "netmask of eth0");
    interface_up(sock, "eth0");
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
    struct sockaddr_in gateway = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("10.0.2.2")};
    struct sockaddr_in any = {.sin_family = AF_INET};
    memcpy(&route.rt_gateway, &gateway, sizeof gateway);
    memcpy(&route.rt_dst, &any, sizeof any);
    memcpy(&route.rt_genmask, &any, sizeof any);
    must(ioctl(sock, SIOCADDRT, &route) == 0, "default route");
    close(sock);
}

static int open_power_button(void) {
    for (int i = 0; i < 8; i++) {
        char path[32], name[64] = "";
        snprintf(path, sizeof path, "/dev/input/event%d", i);
        int button = open(path, O_RDONLY | O_CLOEXEC);
        if (button < 0) continue;
        if (ioctl(button, EVIOCGNAME(sizeof name - 1), name) > 0 && strstr(name, "Power Button")) return button;
        close(button);
    }
    must(0, "no power button");
    return -1;
}

// Each press of the power button is a SIGTERM for PID 1.
static void pass_on_power_button(void) {
    int button = open_power_button();
    struct input_event event;
    while (read(button, &event, sizeof event) == sizeof event) {
        if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1) {
            say("power button, SIGTERM for PID 1");
            must(kill(1, SIGTERM) == 0, "kill");
        }
    }
    must(0, "power button");
}

// Follows PID 1 by ptrace, changing nothing: every signal that stops it is handed on. Returns how it ended, as
// waitpid would tell it, while it still is at its end: the kernel panics only when it is gone.
static int wait_for_end_of_pid_1(void) {
    for (;;) {
        int status, event;
        must(waitpid(1, &status, __WALL) == 1, "waitpid");
        must(WIFSTOPPED(status), "PID 1 is gone");
        event = status >> 16;
        if (event == PTRACE_EVENT_EXIT) {
            unsigned long how;
            must(ptrace(PTRACE_GETEVENTMSG, 1, NULL, &how) == 0, "ptrace");
            return (int)how;
        }
        long signal = event == 0 ? WSTOPSIG(status) : 0;
        must(ptrace(PTRACE_CONT, 1, NULL, signal) == 0, "ptrace");
    }
}

static void be_the_platform(void) {
    if (fork() == 0) pass_on_power_button();
    int status = wait_for_end_of_pid_1();
    if (WIFEXITED(status)) say("PID 1 exited with %d", WEXITSTATUS(status));
    else say("PID 1 was ended by signal %d", WTERMSIG(status));
    sync();
    must(umount("/data") == 0, "umount /data");
    say("power off");
    reboot(RB_POWER_OFF);
}

static void become_program(char **argv) {
    wait_for_disk("/dev/vda");
    mounted("/dev/vda", "/data", "ext4", 0);
    set_up_network();
    const char *user = getenv("guest_user"), *group = getenv("guest_group");
    must(user && group && argv[0], "guest_user, guest_group and a program are needed");
    must(chown("/data", (uid_t)atoi(user), (gid_t)atoi(group)) == 0, "chown /data");
    // The child must hold PID 1 before that can end: it says so by closing its end of the pipe.
    int held[2];
    must(pipe2(held, O_CLOEXEC) == 0, "pipe");
    pid_t child = fork();
    must(child >= 0, "fork");
    if (child == 0) {
        must(ptrace(PTRACE_SEIZE, 1, NULL, PTRACE_O_TRACEEXIT) == 0, "ptrace");
        close(held[0]);
        close(held[1]);
        be_the_platform();
    }
    close(held[1]);
    char none;
    must(read(held[0], &none, 1) == 0, "read");
    say("becoming %s as user %s", argv[0], user);
    must(setgroups(0, NULL) == 0 && setgid((gid_t)atoi(group)) == 0 && setuid((uid_t)atoi(user)) == 0, "setuid");
    unsetenv("guest_mode");
    unsetenv("guest_user");
    unsetenv("guest_group");
    execv(argv[0], argv);
    must(0, argv[0]);
}

int main(int argc, char **argv) {
    (void)argc;
    mounted("devtmpfs", "/dev", "devtmpfs", 0);
    int console = open("/dev/console", O_RDWR);
    if (console >= 0) {
        for (int i = 0; i < 3; i++) dup2(console, i);
        if (console > 2) close(console);
    }
    mounted("proc", "/proc", "proc", 0);
    mounted("sysfs", "/sys", "sysfs", 0);
    load_modules();
    const char *mode = getenv("guest_mode");
    if (mode && strcmp(mode, "system") == 0) become_system();
    if (mode && strcmp(mode, "program") == 0) {
        mounted("cgroup2", "/sys/fs/cgroup", "cgroup2", 0);
        become_program(argv + 1);
    }
    must(0, "guest_mode must be system or program");
}
