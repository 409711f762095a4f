use super::calls::{ALLOWED, NAMES};
use super::*;
use std::process::Command;

/// Runs `act` in a thread that may do only what is in the list; a refused call gives ENOSYS there, on
/// which the C library of the build machine makes threads in the old way.
fn confined<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let refuse = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::ENOSYS).unwrap();
    std::thread::spawn(move || {
        no_new_privileges().unwrap();
        filter::install(ALLOWED, refuse).unwrap();
        act()
    })
    .join()
    .unwrap()
}

#[test]
fn the_list_is_the_one_that_was_looked_at() {
    let mut names: Vec<&str> = NAMES.iter().filter_map(|name| name.strip_prefix("SYS_")).collect();
    names.sort_unstable();
    let mut twice = names.clone();
    twice.dedup();
    assert_eq!(names, twice);
    assert_eq!(names.join("\n") + "\n", include_str!("../../../../../tests/golden/calls.txt"));
}

#[test]
fn files_sockets_threads_and_time_work_as_before() {
    confined(|| {
        assert!(std::fs::read_to_string("/proc/thread-self/status").unwrap().contains("Seccomp:\t2"));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = std::thread::spawn(move || std::net::TcpStream::connect(address).is_ok());
        listener.accept().unwrap();
        assert!(client.join().unwrap());
        std::thread::park_timeout(std::time::Duration::from_millis(1));
    });
}

#[test]
fn nothing_is_started_mounted_traced_or_loaded() {
    confined(|| {
        let refused = |error: io::Error| error.raw_os_error() == Some(libc::ENOSYS);
        assert!(Command::new("/bin/true").status().is_err_and(refused));
        // SAFETY: plain integers and null pointers; each call is refused before it looks at them.
        let calls: [libc::c_long; 6] = unsafe {
            [
                libc::syscall(libc::SYS_fork),
                libc::syscall(libc::SYS_mount, 0, 0, 0, 0, 0),
                libc::syscall(libc::SYS_ptrace, 0, 0, 0, 0),
                libc::syscall(libc::SYS_bpf, 0, 0, 0),
                libc::syscall(libc::SYS_unshare, 0),
                libc::syscall(libc::SYS_clone, 17, 0, 0, 0, 0),
            ]
        };
        assert_eq!(calls, [-1; 6]);
    });
}

#[test]
fn the_line_of_a_refused_call_has_room_for_its_number() {
    let line = *b"<3>director: the system call 000 is not in its list: it ends\n";
    assert_eq!(&line[DIGITS..DIGITS + 3], b"000");
}

#[test]
fn every_kept_capability_has_its_reason_in_the_list() {
    assert_eq!(KEPT, [10, 12, 13, 25]);
}
