//! Where a supervisor can be killed.

macro_rules! points {
    ($($name:ident $text:literal,)*) => {
        /// A point on a supervisor's way: between two of its system calls.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Point { $(#[doc = $text] $name),* }

        impl Point {
            pub const ALL: &'static [Point] = &[$(Point::$name),*];
            pub const fn text(self) -> &'static str {
                match self { $(Point::$name => $text),* }
            }
        }
    };
}

points! {
    Idle "while it waits",
    Begin "at its begin",
    Recovered "when what its predecessor left was killed",
    TookOver "when it has recorded what it took over",
    BeforeRecord "before a record",
    AfterRecord "after a record",
    BeforeSpawn "before a spawn",
    AfterSpawn "after a spawn",
    BeforeBegin "before a job",
    AfterBegin "after a job was made",
    BeforeAsk "before a stop signal",
    AfterAsk "after a stop signal",
    BeforeAskRest "before what was left behind is asked",
    AfterAskRest "after that",
    BeforeKill "before a kill",
    AfterKill "after a kill",
    BeforeKillJob "before a job is killed",
    AfterKillJob "after that",
    BeforeLeave "before it leaves",
    SeenEnd "when an end was seen",
    EndRecorded "when that was recorded",
    EndReaped "when it was reaped",
    JobReaped "when a job was reaped",
    BeforeReport "before a report",
    AfterReport "after a report",
    AfterRing "after a ring",
    Accepted "when a command was accepted",
    Acted "when a command was acted on",
}
