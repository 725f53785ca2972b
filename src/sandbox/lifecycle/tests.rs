use super::*;

fn boot(id: &str) -> Boot {
    Boot {
        id: id.to_owned(),
        origin: format!("http://{id}"),
        secret: Secret::default(),
    }
}

fn running(id: &str) -> Lifecycle {
    let mut life = Lifecycle::default();
    let ticket = life.begin_start();
    life.finish_start(ticket, Some(boot(id)));
    life
}

#[test]
fn a_new_object_inspects_before_it_starts_and_starts_once() {
    let mut life = Lifecycle::default();
    assert_eq!(life.next_step(), NextStep::Start { inspect_first: true });
    let ticket = life.begin_start();
    assert_eq!(life.next_step(), NextStep::Wait);
    life.finish_start(ticket, Some(boot("a")));
    assert_eq!(life.next_step(), NextStep::Use(boot("a")));
}

#[test]
fn a_failed_start_is_tried_again_by_the_next_request() {
    let mut life = Lifecycle::default();
    let ticket = life.begin_start();
    life.finish_start(ticket, None);
    assert_eq!(life.next_step(), NextStep::Start { inspect_first: true });
}

#[test]
fn after_an_exit_the_state_is_known_and_after_a_lost_connection_it_is_not() {
    let mut life = running("a");
    life.exited("a");
    assert_eq!(life.next_step(), NextStep::Start { inspect_first: false });
    let mut life = running("a");
    life.connection_lost("a");
    assert_eq!(life.next_step(), NextStep::Start { inspect_first: true });
}

#[test]
fn an_event_of_an_older_boot_changes_nothing() {
    let mut life = running("b");
    life.exited("a");
    life.connection_lost("a");
    assert_eq!(life.next_step(), NextStep::Use(boot("b")));
}

#[test]
fn delete_supersedes_a_start() {
    let mut life = Lifecycle::default();
    let start = life.begin_start();
    let destroy = life.begin_destroy().unwrap();
    assert!(!life.is_current(start));
    assert_eq!(life.begin_destroy(), None, "a second DELETE joins the first");
    life.finish_start(start, Some(boot("a")));
    assert_eq!(life.next_step(), NextStep::Wait, "the start's outcome is ignored");
    life.finish_end(destroy, true);
    assert_eq!(life.next_step(), NextStep::Start { inspect_first: false });
}

#[test]
fn requests_wait_for_a_sandbox_that_goes_to_sleep_and_then_start_it() {
    let mut life = running("a");
    assert_eq!(life.begin_sleep("older"), None);
    let sleep = life.begin_sleep("a").unwrap();
    assert_eq!(life.next_step(), NextStep::Wait);
    life.exited("a");
    assert_eq!(
        life.next_step(),
        NextStep::Wait,
        "the transition decides when it has ended"
    );
    life.finish_end(sleep, true);
    assert_eq!(life.next_step(), NextStep::Start { inspect_first: false });
    assert_eq!(life.begin_sleep("a"), None, "what does not run cannot sleep");
}

#[test]
fn what_may_run_is_stopped() {
    for mut life in [Lifecycle::default(), running("a")] {
        let stop = life.begin_stop().unwrap();
        assert_eq!(life.next_step(), NextStep::Wait);
        assert_eq!(life.begin_stop(), None);
        life.finish_end(stop, true);
        assert_eq!(life.begin_stop(), None);
    }
}

#[test]
fn a_failed_delete_leaves_the_state_unverified_and_a_superseded_one_changes_nothing() {
    let mut life = running("a");
    let first = life.begin_destroy().unwrap();
    life.finish_end(first, false);
    assert_eq!(life.next_step(), NextStep::Start { inspect_first: true });
    let start = life.begin_start();
    life.finish_end(first, true);
    life.finish_start(start, Some(boot("b")));
    assert_eq!(life.next_step(), NextStep::Use(boot("b")));
}

#[test]
fn requests_wait_for_a_restore_and_not_for_a_save() {
    let mut life = Lifecycle::default();
    let start = life.begin_start();
    life.begin_restore(start);
    assert_eq!((life.next_step(), life.is_starting()), (NextStep::Wait, true));
    life.finish_start(start, Some(boot("a")));
    let save = life.begin_save("a").unwrap();
    assert_eq!(life.next_step(), NextStep::Use(boot("a")));
    assert_eq!(life.begin_save("a"), None, "one at a time");
    life.finish_save(save);
    assert_eq!(life.next_step(), NextStep::Use(boot("a")));
    assert_eq!(life.begin_save("b"), None);
}

/// Events that end a save or a restore, and the next step of a request then.
#[test]
fn a_save_and_a_restore_end_with_their_boot() {
    type Event = fn(&mut Lifecycle);
    let table: [(&str, Event, NextStep); 6] = [
        (
            "exit",
            |life| life.exited("a"),
            NextStep::Start { inspect_first: false },
        ),
        (
            "loss",
            |life| life.connection_lost("a"),
            NextStep::Start { inspect_first: true },
        ),
        (
            "stop",
            |life| assert!(life.begin_stop().is_some()),
            NextStep::Wait,
        ),
        (
            "sleep",
            |life| assert!(life.begin_sleep("a").is_some()),
            NextStep::Wait,
        ),
        (
            "DELETE",
            |life| assert!(life.begin_destroy().is_some()),
            NextStep::Wait,
        ),
        (
            "exit of another",
            |life| life.exited("b"),
            NextStep::Use(boot("a")),
        ),
    ];
    for (name, event, need) in table {
        let mut life = running("a");
        let save = life.begin_save("a").unwrap();
        event(&mut life);
        assert_eq!(life.next_step(), need, "{name}");
        life.finish_save(save);
        assert_eq!(life.next_step(), need, "after the save: {name}");
    }
    // A start that fails while it restores.
    let mut life = Lifecycle::default();
    let start = life.begin_start();
    life.begin_restore(start);
    life.finish_start(start, None);
    assert_eq!(life.next_step(), NextStep::Start { inspect_first: true });
    // DELETE supersedes a restore.
    let start = life.begin_start();
    life.begin_restore(start);
    let destroy = life.begin_destroy().unwrap();
    life.begin_restore(start);
    life.finish_start(start, Some(boot("a")));
    assert_eq!(life.next_step(), NextStep::Wait);
    life.finish_end(destroy, true);
    assert_eq!(life.next_step(), NextStep::Start { inspect_first: false });
}

#[test]
fn a_lost_transition_leaves_the_state_unverified() {
    let mut life = running("a");
    life.transition_lost();
    assert_eq!(life.next_step(), NextStep::Use(boot("a")), "there is none");
    let destroy = life.begin_destroy().unwrap();
    life.transition_lost();
    assert_eq!(life.next_step(), NextStep::Start { inspect_first: true });
    life.finish_end(destroy, true);
    assert_eq!(life.next_step(), NextStep::Start { inspect_first: true });
}

#[test]
fn only_a_sandbox_that_may_be_absent_is_forgotten() {
    let mut life = running("a");
    assert_eq!(life.begin_forget(), None);
    life.exited("a");
    let forget = life.begin_forget().unwrap();
    assert_eq!(life.next_step(), NextStep::Wait);
    assert_eq!(life.begin_forget(), None);
    life.finish_end(forget, true);
    assert_eq!(life.next_step(), NextStep::Start { inspect_first: false });
}
