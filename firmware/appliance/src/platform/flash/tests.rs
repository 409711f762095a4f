use super::*;
use director_core::store::{Commit, blob, layout};
use nix::sys::memfd::{MFdFlags, memfd_create};
use tokio::sync::mpsc;

/// A partition in memory, with superblock.
fn partition() -> File {
    let file = File::from(memfd_create(c"flash", MFdFlags::MFD_CLOEXEC).unwrap());
    file.set_len(layout::PARTITION_MIN).unwrap();
    superblock::write(&mut Flash::from(file.try_clone().unwrap())).unwrap();
    file
}

fn commit(at_unix_s: u64) -> Commit {
    Commit { at_unix_s, ..Commit::default() }
}

#[test]
fn jobs_are_executed_in_order_and_what_was_committed_is_loaded_again() {
    let file = partition();
    let (results, mut received) = mpsc::channel(JOBS);
    let worker = FlashWorker::start(Flash::from(file.try_clone().unwrap()), results).unwrap();
    let generation = Generation(1);
    let payload = blob::encode(&commit(7));
    worker.submit(Job::Save { generation, state: SlotState::Tentative, payload }).unwrap();
    worker.submit(Job::Mark { generation, state: SlotState::Good }).unwrap();
    let written = Event::Saved { generation, result: Ok(()) };
    assert_eq!(received.blocking_recv(), Some(written.clone()));
    assert_eq!(received.blocking_recv(), Some(written));
    drop(worker);
    assert_eq!(received.blocking_recv(), None, "the thread ends with its handle");
    assert_eq!(slots::load(&mut Flash::from(file)).best, Some((generation, commit(7))));
}

#[test]
fn a_worker_whose_results_nobody_takes_refuses_jobs_instead_of_queueing_them_without_end() {
    let (results, received) = mpsc::channel(1);
    let worker = FlashWorker::start(Flash::from(partition()), results).unwrap();
    // One result is buffered, one waits in the thread, the rest queue.
    let job = Job::Mark { generation: Generation(1), state: SlotState::Good };
    let taken = (0..100).take_while(|_| worker.submit(job.clone()).is_ok()).count();
    assert!((JOBS..=JOBS + 2).contains(&taken), "{taken}");
    drop(received);
}

#[test]
fn a_damaged_superblock_copy_is_mended() {
    let file = partition();
    let mut flash = Flash::from(file);
    embedded_io::Seek::seek(&mut flash, embedded_io::SeekFrom::Start(0)).unwrap();
    embedded_io::Write::write(&mut flash, &[0; 512]).unwrap();
    let warnings = inspect(&mut flash);
    assert_eq!(warnings, ["one copy of the flash superblock was damaged and has been written again"]);
    assert!(inspect(&mut flash).is_empty());
}

#[test]
fn the_boot_partition_is_the_first_one_of_the_same_disk() {
    let root = std::env::temp_dir().join(format!("director-sibling-{}", std::process::id()));
    let class = root.join("class");
    fs::create_dir_all(&class).unwrap();
    for (disk, names) in [("nvme0n1", ["nvme0n1p1", "nvme0n1p4"]), ("sda", ["sda1", "sda4"])] {
        for (name, number) in names.into_iter().zip(["1\n", "4\n"]) {
            let folder = root.join("devices").join(disk).join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("partition"), number).unwrap();
            std::os::unix::fs::symlink(&folder, class.join(name)).unwrap();
        }
    }
    assert_eq!(sibling(&class, OsStr::new("nvme0n1p4"), 1).unwrap(), "nvme0n1p1");
    assert_eq!(sibling(&class, OsStr::new("sda4"), 1).unwrap(), "sda1");
    assert_eq!(sibling(&class, OsStr::new("sda4"), 2), None);
    assert_eq!(sibling(&class, OsStr::new("vda4"), 1), None);
    fs::remove_dir_all(&root).unwrap();
}

#[test]
fn only_a_partition_with_our_superblock_is_found() {
    let root = std::env::temp_dir().join(format!("director-flash-{}", std::process::id()));
    let (class, dev) = (root.join("class"), root.join("dev"));
    fs::create_dir_all(&dev).unwrap();
    for (name, partition) in [("sda", false), ("sda1", true), ("sda2", true), ("sda3", true)] {
        fs::create_dir_all(class.join(name)).unwrap();
        if partition {
            fs::write(class.join(name).join("partition"), "1").unwrap();
        }
        File::create(dev.join(name)).unwrap().set_len(layout::PARTITION_MIN).unwrap();
    }
    assert_eq!(find_in(&class, &dev, is_ours), None);
    // A disk that looks like ours is not a partition.
    superblock::write(&mut Flash::open(&dev.join("sda")).unwrap()).unwrap();
    assert_eq!(find_in(&class, &dev, is_ours), None);
    superblock::write(&mut Flash::open(&dev.join("sda3")).unwrap()).unwrap();
    assert_eq!(find_in(&class, &dev, is_ours), Some(dev.join("sda3")));
    assert_eq!(find_in(&root.join("missing"), &dev, is_ours), None);
    fs::remove_dir_all(&root).unwrap();
}
