//! The confidence bands that strengths are compared with.

/// How sure a finding is. A filter of strength HIGH acts on all but [`Confidence::None`], MEDIUM on medium and high, LOW on high only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Confidence {
    #[default]
    None,
    Low,
    Medium,
    High,
}

/// The scores from which on a finding has a band.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bands {
    pub(crate) low: f32,
    pub(crate) medium: f32,
    pub(crate) high: f32,
}

impl Bands {
    pub(crate) fn of(self, score: f32) -> Confidence {
        match score {
            score if score >= self.high => Confidence::High,
            score if score >= self.medium => Confidence::Medium,
            score if score >= self.low => Confidence::Low,
            _ => Confidence::None,
        }
    }
}
