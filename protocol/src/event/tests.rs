use super::*;
use crate::ErrorCode;

fn wire(event: &Event, id: Option<u64>) -> String {
    let mut wire = Vec::new();
    event.write_to(id, &mut wire);
    String::from_utf8(wire).unwrap()
}

#[test]
fn wire_forms() {
    assert_eq!(
        wire(&Event::Stdout(b"hello\n".to_vec()), Some(1)),
        "id: 1\nevent: stdout\ndata: aGVsbG8K\n\n"
    );
    assert_eq!(
        wire(&Event::Stderr(vec![0xff]), Some(2)),
        "id: 2\nevent: stderr\ndata: /w==\n\n"
    );
    assert_eq!(
        wire(&Event::Exit(Exit::default()), Some(3)),
        "id: 3\nevent: exit\ndata: {\"exit_code\":0}\n\n"
    );
    let timed_out = Exit {
        exit_code: 124,
        signal: Some("SIGTERM".into()),
        timed_out: true,
        ..Exit::default()
    };
    assert_eq!(
        wire(&Event::Exit(timed_out), Some(4)),
        "id: 4\nevent: exit\ndata: {\"exit_code\":124,\"signal\":\"SIGTERM\",\"timed_out\":true}\n\n"
    );
    let error = ErrorBody::new(ErrorCode::ExecTransportError, "sandbox “gone” 🦀");
    assert_eq!(
        wire(&Event::Error(error), None),
        "event: error\ndata: {\"error\":\"sandbox \\u201cgone\\u201d \\ud83e\\udd80\",\"code\":\"exec_transport_error\"}\n\n"
    );
}

#[test]
fn events_of_a_chunk_are_told_apart() {
    let mut chunk = Vec::new();
    OutputStream::Stdout.write_event(Some(1), b"a\n\nb", &mut chunk);
    OutputStream::Stderr.write_event(Some(2), &[0xff; 100], &mut chunk);
    Event::Gap(Gap { first: 3, last: 9 }).write_to(Some(9), &mut chunk);
    let events: Vec<&[u8]> = split(&chunk).collect();
    assert_eq!(events.concat(), chunk);
    assert_eq!(
        events[2],
        b"id: 9\nevent: gap\ndata: {\"first\":3,\"last\":9}\n\n"
    );
    let decoded = |event: &[u8]| {
        let mut output = Vec::new();
        decode_output(event, &mut output);
        output
    };
    assert_eq!(decoded(events[0]), b"a\n\nb");
    assert_eq!(decoded(events[1]), [0xff; 100]);
    assert_eq!(decoded(events[2]), b"");
}

#[test]
fn output_of_any_length_reads_back() {
    let bytes: Vec<u8> = (0..=255).cycle().take(MAX_OUTPUT).collect();
    for length in (0..300).chain([MAX_OUTPUT - 1, MAX_OUTPUT]) {
        let wire = wire(&Event::Stdout(bytes[..length].to_vec()), None);
        let data = wire
            .strip_prefix("event: stdout\ndata: ")
            .unwrap()
            .strip_suffix("\n\n")
            .unwrap();
        assert_eq!(
            general_purpose::STANDARD.decode(data).unwrap(),
            bytes[..length],
            "{length} bytes"
        );
    }
}

#[test]
fn the_size_of_an_event_is_known_before() {
    for id in [0, 1, 9, 10, 99, 100, 12_345, u64::MAX] {
        for length in [1, 2, 3, 4, 1000, MAX_OUTPUT] {
            for stream in [OutputStream::Stdout, OutputStream::Stderr] {
                let mut wire = Vec::new();
                stream.write_event(Some(id), &vec![b'x'; length], &mut wire);
                assert_eq!(wire.len(), stream.event_size(id, length), "{id}, {length}");
            }
        }
    }
}

#[test]
fn a_keep_alive_is_a_comment_and_ends_no_event() {
    assert!(KEEP_ALIVE.starts_with(':') && KEEP_ALIVE.ends_with('\n'));
    assert_eq!(KEEP_ALIVE.lines().count(), 1);
}

#[test]
fn an_event_cut_anywhere_is_never_taken_for_output() {
    let whole = wire(&Event::Stdout(b"precious".to_vec()), Some(1));
    let ending = break_off(ErrorBody::new(ErrorCode::ExecTransportError, "gone"));
    for cut in 0..whole.len() - 2 {
        let names = dispatched(&format!("{}{ending}", &whole[..cut]));
        assert!(!names.contains(&"stdout".to_owned()), "cut at {cut}: {names:?}");
        assert_eq!(names.last().unwrap(), "error", "cut at {cut}");
    }
    assert_eq!(dispatched(&format!("{whole}{ending}")), ["stdout", "error"]);
}

/// The event types that a parser by the WHATWG rules dispatches.
fn dispatched(stream: &str) -> Vec<String> {
    let (mut names, mut event, mut data) = (Vec::new(), String::new(), false);
    for line in stream.lines() {
        if line.is_empty() {
            if data {
                names.push(std::mem::take(&mut event));
            }
            (event, data) = (String::new(), false);
        } else if let Some(name) = line.strip_prefix("event: ") {
            event = name.to_owned();
        } else if line.starts_with("data:") {
            data = true;
        }
    }
    names
}
