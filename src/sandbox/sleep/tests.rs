use super::*;

#[test]
fn only_a_sandbox_idle_long_enough_sleeps() {
    let idle_timeout = Duration::from_secs(10);
    let activity = |commands, requests, idle_ms| Activity {
        commands,
        requests,
        idle_ms,
        uptime_ms: 99_999,
    };
    for (activity, result) in [
        (activity(1, 0, 0), Some(idle_timeout)),
        (activity(0, 1, 0), Some(idle_timeout)),
        (activity(0, 0, 0), Some(idle_timeout)),
        (activity(0, 0, 7_000), Some(Duration::from_secs(3))),
        (activity(0, 0, 9_999), Some(Duration::from_millis(1))),
        (activity(0, 0, 10_000), None),
        (activity(0, 0, 99_000), None),
    ] {
        assert_eq!(
            remaining_idle_time(&activity, idle_timeout),
            result,
            "{activity:?}"
        );
    }
}
