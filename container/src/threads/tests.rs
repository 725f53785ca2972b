use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::*;

#[tokio::test]
async fn jobs_that_hang_delay_others_by_little() {
    static THREADS: Threads = Threads::new("test", usize::MAX);
    let (release, hung) = channel::<()>();
    let hung = Arc::new(Mutex::new(hung));
    let hang = || {
        let hung = Arc::clone(&hung);
        tokio::spawn(THREADS.run(move || hung.lock().unwrap().recv().is_err()))
    };
    let hanging: Vec<_> = (0..600).map(|_| hang()).collect();
    tokio::task::yield_now().await;
    let started = Instant::now();
    let done = join_all((0..100).map(|n| THREADS.run(move || n))).await;
    let done: Vec<i32> = done.into_iter().map(Result::unwrap).collect();
    assert!(done.into_iter().eq(0..100));
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    drop(release);
    for hanging in hanging {
        hanging.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_job_that_nobody_waits_for_is_not_begun() {
    static THREADS: Threads = Threads::new("test", usize::MAX);
    let (release, hung) = channel::<()>();
    let hung = Arc::new(Mutex::new(hung));
    for _ in 0..default_threads() {
        let hung = Arc::clone(&hung);
        tokio::spawn(THREADS.run(move || hung.lock().unwrap().recv().is_err()));
    }
    tokio::task::yield_now().await;
    let (begun, was_begun) = channel();
    {
        let run = THREADS.run(move || begun.send(()));
        assert!(run.now_or_never().is_none());
    }
    drop(release);
    THREADS.run(|| ()).await.unwrap();
    assert!(was_begun.recv().is_err());
}

#[test]
fn jobs_that_nobody_waits_for_delay_others_by_little_up_to_the_limit() {
    static THREADS: Threads = Threads::new("test", 8);
    let (release, hung) = channel::<()>();
    let hung = Arc::new(Mutex::new(hung));
    let hang = |_| {
        let hung = Arc::clone(&hung);
        THREADS.run_detached(move || assert!(hung.lock().unwrap().recv().is_err()));
    };
    let (done, is_done) = channel();
    (0..7).for_each(hang);
    THREADS.run_detached({
        let done = done.clone();
        move || done.send(()).unwrap()
    });
    is_done.recv_timeout(Duration::from_secs(10)).unwrap();
    hang(7);
    THREADS.run_detached(move || done.send(()).unwrap());
    assert!(is_done.recv_timeout(Duration::from_millis(100)).is_err());
    assert_eq!(THREADS.queue().threads, 8);
    drop(release);
    is_done.recv_timeout(Duration::from_secs(10)).unwrap();
}

#[tokio::test]
async fn a_panic_is_an_error_and_the_thread_goes_on() {
    static THREADS: Threads = Threads::new("test", usize::MAX);
    for _ in 0..10 {
        assert!(THREADS.run(|| assert_eq!(1, 2)).await.is_err());
    }
    assert_eq!(THREADS.run(|| 1).await.unwrap(), 1);
}

#[test]
fn a_child_is_that_of_the_thread_that_started_it() {
    let child = || {
        Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    thread::spawn(move || {
        assert!(!has_children());
        let mut child = child();
        assert!(has_children());
        assert!(!thread::spawn(has_children).join().unwrap());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!has_children());
    })
    .join()
    .unwrap();
}
