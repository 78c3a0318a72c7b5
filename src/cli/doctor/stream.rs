//! The stream of revocations: whether it opens, says where it stands, and sends heartbeats.

use std::time::{Duration, Instant};

use super::events::{Event, Events};
use super::fault::{Fault, seconds};
use super::http::Http;
use super::report::Report;
use super::snapshot::Feed;
use crate::storage::outbound::OutboundError;

/// The service sends the first event immediately.
const FIRST_WITHIN: Duration = Duration::from_secs(5);
/// With a slower heartbeat, a follower notices too late that its connection is dead.
const BEAT_WITHIN: Duration = Duration::from_secs(20);
/// A first event that is later than this delays a follower noticeably.
const SLOW_FIRST: Duration = Duration::from_secs(1);
/// Beats that are so far from even were held back on their way.
const UNEVEN: Duration = Duration::from_secs(1);
/// The service looks into its database every half second.
const OLD: f64 = 10.0;

/// What holds a stream up, most often.
const UNBUFFERED: &str = "let the proxy pass the stream unbuffered and with a read time-out above the \
                          heartbeat (nginx: proxy_buffering off)";

struct Beat {
    at: Instant,
    age: Option<f64>,
    epoch: Option<String>,
}

pub(super) async fn check(http: &Http, feed: &Feed, report: &mut Report) {
    report.progress("listening to the stream of revocations");
    let mut events = match Events::open(http, feed).await {
        Ok(events) => events,
        Err(fault) => {
            let mend = match fault {
                Fault::Request(OutboundError::Status(status)) if status.as_u16() == 503 => {
                    "raise revocations.max_listeners, or see who listens so often"
                }
                _ => fault.mend(),
            };
            report.failed("stream", format!("{fault} at {}", feed.stream), mend);
            return;
        }
    };
    if !first(http, feed, &mut events, report).await {
        return;
    }
    let start = Instant::now();
    let mut beats = Vec::new();
    let mut ended = None;
    while beats.len() < 3 && ended.is_none() {
        match events.named(http, "heartbeat", BEAT_WITHIN).await {
            Ok(Some(event)) => beats.push(beat(&event)),
            Ok(None) => ended = Some(Fault::Content("the stream ended")),
            Err(fault) => ended = Some(fault),
        }
    }
    heartbeat(start, &beats, ended.as_ref(), report);
    jitter(&beats, ended, report);
    history(feed, &beats, report);
}

async fn first(http: &Http, feed: &Feed, events: &mut Events, report: &mut Report) -> bool {
    let event = match events.next(http, FIRST_WITHIN).await {
        Ok(Some(event)) => event,
        Ok(None) => {
            report.failed("stream", "it ended before the first event", UNBUFFERED);
            return false;
        }
        Err(fault @ (Fault::Slow(_) | Fault::TimeUp)) => {
            report.failed("stream", format!("no first event: {fault}"), UNBUFFERED);
            return false;
        }
        Err(fault) => {
            report.fault("stream", &fault);
            return false;
        }
    };
    let took = events.since.elapsed();
    if event.name != "snapshot" || event.object().is_none() {
        let mend = "see which service answers there: the first event says where the stream stands";
        let seen = format!("the first event is {:?}, not snapshot, at {}", event.name, feed.stream);
        report.failed("stream", seen, mend);
        return false;
    }
    let seen = format!("first event {} after connecting", seconds(took));
    report.at_most(SLOW_FIRST, "stream", took, seen, UNBUFFERED);
    true
}

fn beat(event: &Event) -> Beat {
    let data = event.object().unwrap_or_default();
    let text = |name: &str| data.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    let age = data.get("age").and_then(|age| age.as_f64());
    Beat { at: Instant::now(), age, epoch: text("epoch") }
}

fn heartbeat(start: Instant, beats: &[Beat], ended: Option<&Fault>, report: &mut Report) {
    let Some(first) = beats.first() else {
        let why = ended.map_or_else(String::new, |fault| format!(": {fault}"));
        let seen = format!("none in {}{why}", seconds(start.elapsed()));
        report.failed("heartbeat", seen, UNBUFFERED);
        return;
    };
    let after = first.at - start;
    match beats.iter().map(|beat| beat.age).collect::<Option<Vec<_>>>() {
        None => {
            let mend = "see which service answers there: a heartbeat has an age";
            report.failed("heartbeat", "it does not say its age", mend).took(after);
        }
        Some(ages) => {
            let oldest = ages.into_iter().fold(0.0, f64::max);
            let seen =
                format!("first after {}, knowledge at most {oldest:.1} s old", seconds(after));
            let mend = "see whether this instance reaches its database: it cannot say that nothing \
                        was missed";
            match oldest > OLD {
                true => report.failed("heartbeat", seen, mend).took(after),
                false => report.ok("heartbeat", seen).took(after),
            }
        }
    }
}

fn jitter(beats: &[Beat], ended: Option<Fault>, report: &mut Report) {
    let [first, second, third] = beats else {
        match ended {
            Some(Fault::TimeUp) => {
                report.skipped("heartbeat jitter", "too few beats in the time (--timeout)");
            }
            Some(fault) if !beats.is_empty() => {
                let seen = format!("no further beat: {fault}");
                report.failed("heartbeat jitter", seen, UNBUFFERED);
            }
            _ => report.skipped("heartbeat jitter", "no beats"),
        }
        return;
    };
    let (earlier, later) = (second.at - first.at, third.at - second.at);
    let jitter = earlier.abs_diff(later);
    let seen =
        format!("{} (beats every {} and {})", seconds(jitter), seconds(earlier), seconds(later));
    report.at_most(UNEVEN, "heartbeat jitter", jitter, seen, UNBUFFERED);
}

/// Snapshot and stream belong to one history, whichever instance sent each.
fn history(feed: &Feed, beats: &[Beat], report: &mut Report) {
    let (Some(of_snapshot), Some(of_stream)) =
        (&feed.epoch, beats.first().and_then(|beat| beat.epoch.as_ref()))
    else {
        report.skipped("history", "snapshot or stream did not name theirs");
        return;
    };
    if of_snapshot == of_stream {
        report.ok("history", "snapshot and stream name the same one");
    } else {
        let mend = "let all instances behind this address use one database";
        report.failed("history", "snapshot and stream name different ones (epoch)", mend);
    }
}
