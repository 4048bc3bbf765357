//! The real disk, on a folder of the operating system.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use quorate_env::real::RealDisk;
use quorate_env::{Disk, Op, Queue};

/// Longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn disk() -> RealDisk {
    RealDisk::new().expect("writer threads start")
}

fn shared(path: &Path) -> Arc<Path> {
    Arc::from(path)
}

fn create(path: &Path) -> Op {
    Op::Create { path: path.to_owned(), len: 0 }
}

fn write(path: &Path, offset: u64, bytes: &'static [u8]) -> Op {
    Op::Write { path: shared(path), offset, bufs: vec![Bytes::from_static(bytes)] }
}

fn submit_and_wait(disk: &RealDisk, queue: Queue, ops: Vec<Op>) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel();
    disk.submit(queue, ops, Box::new(move |result| sender.send(result).expect("the test waits")));
    receiver.recv_timeout(PATIENCE).expect("a completion comes")
}

fn read_all(disk: &RealDisk, path: &Path) -> Bytes {
    disk.read(path, 0, usize::MAX).expect("the file can be read")
}

#[test]
fn more_buffers_than_one_system_call_takes_are_all_written() {
    let (folder, disk) = (folder(), disk());
    let path = folder.path().join("file");
    // Three times IOV_MAX, empty ones among them, each different from its neighbours.
    let bufs: Vec<Bytes> =
        (0..3 * 1024 + 5).map(|i: usize| Bytes::from(vec![i.to_le_bytes()[0]; i % 977])).collect();
    let expected: Vec<u8> = [&[0; 3][..], &bufs.concat()].concat();

    let ops = vec![create(&path), Op::Write { path: shared(&path), offset: 3, bufs }];
    submit_and_wait(&disk, Queue::Log, ops).expect("written");

    assert_eq!(disk.len(&path).expect("a length"), Some(expected.len() as u64));
    assert!(read_all(&disk, &path) == expected, "contents differ");
}

#[test]
fn reads_stop_at_the_end_of_the_file() {
    let (folder, disk) = (folder(), disk());
    let path = folder.path().join("file");
    disk.run(vec![create(&path), write(&path, 0, b"0123456789")]).expect("written");

    assert_eq!(disk.read(&path, 2, 3).expect("read"), &b"234"[..]);
    assert_eq!(disk.read(&path, 7, 100).expect("read"), &b"789"[..]);
    assert_eq!(disk.read(&path, 10, 1).expect("read"), &b""[..]);
    assert_eq!(disk.read(&path, u64::MAX, 1).expect("read"), &b""[..]);
}

#[test]
fn a_created_file_has_its_length_and_reads_as_zeros() {
    let (folder, disk) = (folder(), disk());
    let path = folder.path().join("segment");
    disk.run(vec![create(&path), write(&path, 0, b"old contents")]).expect("written");

    let ops = vec![Op::Create { path: path.clone(), len: 10_000 }, write(&path, 5_000, b"new")];
    submit_and_wait(&disk, Queue::Log, ops).expect("created again");

    let bytes = read_all(&disk, &path);
    assert_eq!(bytes.len(), 10_000);
    assert_eq!(&bytes[5_000..5_003], b"new");
    assert!(bytes[..5_000].iter().chain(&bytes[5_003..]).all(|byte| *byte == 0));
}

#[test]
fn the_first_error_stops_a_submission_but_not_the_next_one() {
    let (folder, disk) = (folder(), disk());
    let (missing, after) = (folder.path().join("missing"), folder.path().join("after"));

    let error = submit_and_wait(&disk, Queue::Log, vec![write(&missing, 0, b"x"), create(&after)])
        .expect_err("nothing creates the file");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.to_string().contains(missing.to_str().expect("UTF-8")), "{error}");
    assert_eq!(disk.len(&after).expect("a length"), None);

    submit_and_wait(&disk, Queue::Log, vec![create(&after)]).expect("the queue goes on");
    assert_eq!(disk.len(&after).expect("a length"), Some(0));
}

#[test]
fn completions_of_a_queue_come_in_order_and_may_submit() {
    let (folder, disk) = (folder(), Arc::new(disk()));
    let path = folder.path().join("file");
    disk.run(vec![create(&path)]).expect("created");
    let order = Arc::new(Mutex::new(Vec::new()));
    let (sender, receiver) = mpsc::channel();

    for number in 0..100_u64 {
        let (order, again, path, sender) = (order.clone(), disk.clone(), shared(&path), sender.clone());
        let ops =
            vec![Op::Write { path: path.clone(), offset: number, bufs: vec![Bytes::from_static(b"#")] }];
        disk.submit(
            Queue::Log,
            ops,
            Box::new(move |result| {
                result.expect("written");
                order.lock().expect("no panic before").push(number);
                let done = Box::new(move |result| sender.send(result).expect("the test waits"));
                again.submit(Queue::Log, vec![Op::Sync { path }], done);
            }),
        );
    }
    for _ in 0..100 {
        receiver.recv_timeout(PATIENCE).expect("a completion comes").expect("synced");
    }
    assert_eq!(*order.lock().expect("no panic before"), (0..100).collect::<Vec<_>>());
    assert_eq!(read_all(&disk, &path), vec![b'#'; 100]);
}

#[test]
fn completions_come_in_order_whoever_writes() {
    let (folder, disk) = (folder(), disk());
    let path = folder.path().join("file");
    disk.run(vec![create(&path)]).expect("created");
    let told = Arc::new(Mutex::new(Vec::new()));
    let done = |n: u64| -> quorate_env::Completion {
        let told = told.clone();
        Box::new(move |result| told.lock().expect("no panic").push((n, result.is_ok())))
    };
    for n in 0..300 {
        let mut ops = vec![write(&path, n, b"x")];
        if n % 7 == 0 {
            ops.push(Op::Sync { path: shared(&path) });
        }
        disk.submit_prompt(Queue::Log, ops, done(n));
    }
    submit_and_wait(&disk, Queue::Log, vec![]).expect("done");
    disk.submit_prompt(Queue::Log, vec![write(&path, 300, b"y")], done(300));
    submit_and_wait(&disk, Queue::Log, vec![]).expect("done");
    assert_eq!(*told.lock().expect("no panic"), (0..=300).map(|n| (n, true)).collect::<Vec<_>>());
    assert_eq!(&read_all(&disk, &path)[..], [&[b'x'; 300][..], b"y"].concat());
}

#[test]
fn dropping_a_disk_finishes_what_was_submitted() {
    let folder = folder();
    let path = folder.path().join("file");
    let submitting = disk();
    submitting.submit(Queue::Log, vec![create(&path)], Box::new(|result| result.expect("created")));
    for offset in 0..1000 {
        let done = Box::new(|result: io::Result<()>| result.expect("written"));
        submitting.submit(Queue::Log, vec![write(&path, offset, b"#")], done);
    }
    drop(submitting);
    assert_eq!(read_all(&disk(), &path), vec![b'#'; 1000]);
}

#[test]
fn a_disk_may_be_dropped_by_its_own_completion() {
    let disk = Arc::new(disk());
    let (sender, receiver) = mpsc::channel();
    let (gate, opened) = mpsc::channel::<()>();
    let last = disk.clone();
    let done = Box::new(move |_| {
        opened.recv().expect("the test opens");
        drop(last);
        sender.send(()).expect("the test waits");
    });
    disk.submit(Queue::Log, Vec::new(), done);
    drop(disk);
    gate.send(()).expect("the completion waits");
    receiver.recv_timeout(PATIENCE).expect("the writer thread does not wait for itself");
}

#[test]
fn renamed_and_removed_files_are_not_written_through_old_handles() {
    let (folder, disk) = (folder(), disk());
    let [a, b]: [PathBuf; 2] = ["a", "b"].map(|name| folder.path().join(name));
    let ops = vec![
        create(&a),
        write(&a, 0, b"first"),
        create(&b),
        write(&b, 0, b"second"),
        Op::Rename { from: a.clone(), to: b.clone() },
        write(&b, 5, b" more"),
        Op::SetLen { path: shared(&b), len: 8 },
        Op::Sync { path: shared(&b) },
        Op::SyncDir { path: folder.path().to_owned() },
    ];
    submit_and_wait(&disk, Queue::Snapshot, ops).expect("renamed");
    assert_eq!(disk.list(folder.path()).expect("a list"), ["b"]);
    assert_eq!(read_all(&disk, &b), &b"first mo"[..]);

    let ops = vec![
        Op::Remove { path: b.clone() },
        Op::Remove { path: b.clone() },
        create(&b),
        write(&b, 0, b"new"),
    ];
    submit_and_wait(&disk, Queue::Snapshot, ops).expect("removing twice is no error");
    assert_eq!(read_all(&disk, &b), &b"new"[..]);
    let closed = vec![Op::Close { path: shared(&b) }, write(&b, 3, b"er")];
    submit_and_wait(&disk, Queue::Snapshot, closed).expect("a closed file is opened again");
    assert_eq!(read_all(&disk, &b), &b"newer"[..]);
}

#[test]
fn many_files_stay_within_the_handles_that_are_kept() {
    let (folder, disk) = (folder(), disk());
    let paths: Vec<PathBuf> = (0..100).map(|i| folder.path().join(format!("{i:03}"))).collect();
    for round in 0..3 {
        let ops = paths.iter().flat_map(|path| {
            let created = (round == 0).then(|| create(path));
            created.into_iter().chain([write(path, round, b"#")])
        });
        submit_and_wait(&disk, Queue::Log, ops.collect()).expect("written");
    }
    assert_eq!(disk.list(folder.path()).expect("a list").len(), 100);
    assert!(paths.iter().all(|path| *read_all(&disk, path) == *b"###"));
}

#[test]
fn a_data_folder_has_one_holder_and_the_error_names_it() {
    let folder = folder();
    let (first, second) = (disk(), disk());
    first.lock(folder.path()).expect("free");

    for disk in [&first, &second] {
        let error = disk.lock(folder.path()).expect_err("held");
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        let holder = format!("process {}", std::process::id());
        assert!(error.to_string().contains(&holder), "{error}");
    }
    drop(first);
    second.lock(folder.path()).expect("free again");
}

#[test]
fn folders_are_made_with_their_parents_and_listed_when_missing() {
    let (folder, disk) = (folder(), disk());
    let deep = folder.path().join("a/b/c");
    assert!(disk.list(&deep).expect("a missing folder is empty").is_empty());
    disk.create_dir(&deep).expect("made");
    disk.create_dir(&deep).expect("making it again is no error");
    disk.run(vec![create(&deep.join("z")), create(&deep.join("y"))]).expect("created");
    assert_eq!(disk.list(&deep).expect("a list"), ["y", "z"]);
    disk.create_dir(&deep.join("z")).expect_err("a file is in the way");
}

#[test]
fn the_boot_is_the_same_for_all_disks_of_a_machine() {
    assert!(!disk().boot_id().is_empty());
    assert_eq!(disk().boot_id(), disk().boot_id());
}
