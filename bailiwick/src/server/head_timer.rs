//! The timer of request heads on one connection. hyper starts one for each head and drops it when the head is there; an alarm of the runtime that is set and
//! taken back for every request costs two turns at a lock that all connections share. So the alarm stays set when a head is there: it rings once in a timeout,
//! finds that a later time counts by now, and is set again.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

type Alarm = Option<Pin<Box<tokio::time::Sleep>>>;

/// See the module's documentation. A connection has one head under way at a time, and its own timer.
#[derive(Clone, Default)]
pub struct HeadTimer(Arc<Mutex<Alarm>>);

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(HeadSleep { alarm: Arc::clone(&self.0), deadline })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

struct HeadSleep {
    alarm: Arc<Mutex<Alarm>>,
    deadline: Instant,
}

impl Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = tokio::time::Instant::from_std(self.deadline);
        let mut alarm = self.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        let alarm = alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if alarm.deadline() > deadline {
            alarm.as_mut().reset(deadline);
        }
        while alarm.deadline() < deadline {
            // It was set for an earlier head.
            ready!(alarm.as_mut().poll(cx));
            alarm.as_mut().reset(deadline);
        }
        alarm.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(10);
    const LONG: Duration = Duration::from_hours(1);

    #[tokio::test]
    async fn each_head_has_its_own_time() {
        let timer = HeadTimer::default();
        let within = |time, sleep| async move { tokio::time::timeout(time, sleep).await.is_ok() };
        // A head that comes in time leaves its alarm set.
        assert!(!within(Duration::ZERO, timer.sleep(SHORT)).await);
        assert!(!within(4 * SHORT, timer.sleep(LONG)).await, "the alarm of the first head ended the time of the second one");
        // One that is set for later is set back, and one that has rung is set anew.
        timer.sleep(SHORT).await;
        timer.sleep(SHORT).await;
    }
}
