//! A few futures at a time.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use futures_util::future::{MaybeDone, maybe_done};

/// Runs `futures` together; gives what they came to, in their order. Each is asked whenever one of them wakes: for a batch
/// that is no cost, and `join_all`, which spares it from thirty on, is several kilobytes of Wasm.
pub async fn together<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<Pin<Box<MaybeDone<F>>>> = futures.map(|future| Box::pin(maybe_done(future))).collect();
    poll_fn(|context| {
        let mut ready = true;
        for future in &mut all {
            ready &= future.as_mut().poll(context).is_ready();
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    all.iter_mut()
        .filter_map(|future| future.as_mut().take_output())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use futures_util::FutureExt;
    use futures_util::future::{LocalBoxFuture, Shared};

    use super::*;

    #[test]
    fn all_begin_before_the_first_has_ended() {
        let begun = Rc::new(RefCell::new(0));
        // Each waits until the last has begun.
        let last: Shared<LocalBoxFuture<'static, ()>> = poll_fn({
            let begun = begun.clone();
            move |context| {
                if *begun.borrow() == 3 {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .boxed_local()
        .shared();
        let results = together((0..3).map(|n| {
            let (begun, last) = (begun.clone(), last.clone());
            async move {
                *begun.borrow_mut() += 1;
                last.await;
                n
            }
        }));
        let mut results = Box::pin(results);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let ended = (0..9).find_map(|_| match results.as_mut().poll(&mut context) {
            Poll::Ready(results) => Some(results),
            Poll::Pending => None,
        });
        assert_eq!(ended, Some(vec![0, 1, 2]));
    }
}
