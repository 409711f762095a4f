//! The system calls of the director process. `tests/golden/calls.txt` has the same list in words, so that a change is seen.

macro_rules! calls {
    ($($name:ident)*) => {
        /// What the director may call beside making threads.
        pub(super) const ALLOWED: &[libc::c_long] = &[$(libc::$name),*];
        /// The same in words.
        #[cfg(test)]
        pub(super) const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

calls! {
    // The loop first: the list is walked from its beginning.
    SYS_epoll_wait SYS_epoll_pwait SYS_recvfrom SYS_sendto SYS_recvmsg SYS_sendmsg SYS_read SYS_write SYS_futex
    SYS_epoll_ctl SYS_epoll_create1 SYS_eventfd2 SYS_poll SYS_ppoll SYS_readv SYS_writev
    // Sockets.
    SYS_socket SYS_socketpair SYS_bind SYS_listen SYS_accept SYS_accept4 SYS_connect SYS_shutdown
    SYS_getsockname SYS_getpeername SYS_getsockopt SYS_setsockopt SYS_recvmmsg SYS_sendmmsg
    // Files: the flash, /run, /proc, /sys.
    SYS_open SYS_openat SYS_close SYS_stat SYS_fstat SYS_lstat SYS_newfstatat SYS_statx SYS_lseek
    SYS_pread64 SYS_pwrite64 SYS_fsync SYS_fdatasync SYS_fadvise64 SYS_ftruncate SYS_rename SYS_renameat SYS_renameat2
    SYS_unlink SYS_unlinkat SYS_access SYS_faccessat SYS_readlink SYS_readlinkat SYS_getdents64 SYS_fcntl SYS_ioctl
    SYS_dup SYS_dup3 SYS_pipe2 SYS_fchmod SYS_umask SYS_getcwd
    // Memory and threads.
    SYS_mmap SYS_munmap SYS_mremap SYS_mprotect SYS_madvise SYS_brk SYS_set_robust_list SYS_set_tid_address SYS_gettid
    SYS_sched_yield SYS_sched_getaffinity SYS_getpriority SYS_setpriority SYS_membarrier SYS_rseq SYS_prctl
    SYS_exit SYS_exit_group SYS_restart_syscall
    // Signals: PID 1 is asked by one when its socket is full; a panic raises one.
    SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_sigaltstack SYS_kill SYS_tkill SYS_tgkill
    // Time, chance, and who we are.
    SYS_clock_gettime SYS_clock_getres SYS_clock_settime SYS_clock_nanosleep SYS_nanosleep SYS_gettimeofday SYS_time SYS_getrandom
    SYS_getpid SYS_getppid SYS_getuid SYS_geteuid SYS_getgid SYS_getegid SYS_uname SYS_sysinfo SYS_prlimit64
    SYS_getrlimit SYS_setrlimit
    // What a C library or a runtime may choose in place of one of the above.
    SYS_dup2 SYS_pipe SYS_mkdir SYS_mkdirat SYS_fallocate SYS_flock SYS_statfs SYS_fstatfs SYS_timerfd_create SYS_timerfd_settime SYS_timerfd_gettime SYS_signalfd4
    SYS_select SYS_pselect6 SYS_sendfile SYS_getrusage SYS_times SYS_getcpu SYS_get_robust_list SYS_preadv SYS_pwritev SYS_epoll_create SYS_eventfd
}
