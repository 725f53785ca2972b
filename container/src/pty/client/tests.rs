use sandbox_protocol::limits::Limit;

use super::*;

fn client(buffers: Buffers) -> (Client, Connection) {
    Client::new(Size::new(80, 24).unwrap(), buffers)
}

#[tokio::test]
async fn input_takes_a_buffer_permit_until_it_is_taken_unless_it_is_small() {
    let limit = Limit {
        name: "SANDBOX_MAX_BUFFER_BYTES",
        value: 64 * 1024,
    };
    let buffers = Buffers::new(limit);
    let (mut client, connection) = client(buffers.clone());
    let input = connection.input;
    let little = Bytes::from(vec![0; SMALL_INPUT - FRAME_OVERHEAD]);
    let much = Bytes::from(vec![0; 48 * 1024]);
    let all = buffers.take(limit.value).unwrap();
    assert_eq!(input.send(little.clone()).await, Ok(()));
    let buffers_full = Err(InputError::BuffersFull(
        "too many bytes in buffers: the limit is 65536 (SANDBOX_MAX_BUFFER_BYTES)".to_owned(),
    ));
    assert_eq!(input.send(Bytes::from_static(b"x")).await, buffers_full);
    drop(all);
    assert_eq!(input.send(much.clone()).await, Ok(()));
    assert_eq!(input.send(much.clone()).await, buffers_full);
    for taken in [little, much.clone()] {
        assert_eq!(client.input.recv().await.unwrap().bytes, taken);
    }
    assert_eq!(input.send(much).await, Ok(()));
    drop(client);
    let _all = buffers.take(limit.value).unwrap();
}

#[tokio::test(start_paused = true)]
async fn input_waits_for_the_input_before_it_until_a_timeout() {
    let (mut client, connection) = client(Buffers::default());
    let input = connection.input;
    let frame = Bytes::from(vec![0; INPUT_AHEAD / 2]);
    assert_eq!(input.send(frame.clone()).await, Ok(()));
    let started = Instant::now();
    assert_eq!(input.send(frame.clone()).await, Err(InputError::TimedOut));
    assert!(started.elapsed() >= INPUT_TIMEOUT);
    let taken = client.input.recv().await.unwrap();
    // A frame that is larger than the limit waits until no other input is ahead of it.
    let large = Bytes::from(vec![0; 2 * INPUT_AHEAD]);
    let (sent, ()) = tokio::join!(input.send(large), async {
        tokio::time::sleep(INPUT_TIMEOUT / 2).await;
        drop(taken);
    });
    assert_eq!(sent, Ok(()));
    drop(client);
    assert_eq!(input.send(frame).await, Err(InputError::Closed));
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_leaving_is_input_and_then_time_runs() {
    let (arrivals, arriving) = mpsc::channel(1);
    let linger = Duration::from_secs(60);
    let mut clients = Clients::new(arriving, linger);
    let (client, connection) = client(Buffers::default());
    arrivals.send(client).await.unwrap();
    assert!(matches!(clients.next(true).await, Event::Attached(..)));
    connection.size.send_replace(Size::new(1, 2).unwrap());
    connection.input.send(Bytes::from_static(b"x")).await.unwrap();
    assert!(matches!(clients.next(true).await, Event::Resized(size) if size.rows() == 2));
    drop(connection);
    assert!(matches!(clients.next(true).await, Event::Left));
    assert!(matches!(clients.next(true).await, Event::Input(input) if input.bytes == "x"));
    let left = Instant::now();
    assert!(matches!(clients.next(true).await, Event::HangUp));
    assert!(left.elapsed() >= linger);
}
