//! Which insights a trail computes. Source: CloudTrail API reference, `PutInsightSelectors` and `InsightSelector`.

use api_cloudtrail::{
    GetInsightSelectorsInput, GetInsightSelectorsOutput, InsightSelector as Selector, InsightType, PutInsightSelectorsInput,
    PutInsightSelectorsOutput, SourceEventCategory,
};
use plane::{ApiError, Call};
use serde::{Deserialize, Serialize};

use crate::error::TrailError;
use crate::trail;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum InsightKind {
    /// Calls of an operation per minute. Of management events, those that change something.
    CallRate,
    /// Errors of an operation per minute, by their code.
    ErrorRate,
}

/// One kind of insight over one or both categories of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InsightSelector {
    pub kind: InsightKind,
    pub management: bool,
    pub data: bool,
}

impl InsightKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CallRate => "ApiCallRateInsight",
            Self::ErrorRate => "ApiErrorRateInsight",
        }
    }

    pub(crate) fn of(insight_type: &InsightType) -> Result<Self, TrailError> {
        match insight_type {
            InsightType::ApiCallRateInsight => Ok(Self::CallRate),
            InsightType::ApiErrorRateInsight => Ok(Self::ErrorRate),
            InsightType::Other(_) => Err(TrailError::InsightSelectors("The insight type is not valid.")),
        }
    }
}

impl InsightSelector {
    fn parse(selector: Selector) -> Result<Self, TrailError> {
        let insight_type = selector.insight_type.ok_or(TrailError::InsightSelectors("An insight selector names an insight type."))?;
        let categories = selector.event_categories.unwrap_or_else(|| vec![SourceEventCategory::Management]);
        if categories.is_empty() || categories.iter().any(|category| matches!(category, SourceEventCategory::Other(_))) {
            return Err(TrailError::InsightSelectors("The event categories of an insight selector are `Management` and `Data`."));
        }
        Ok(Self {
            kind: InsightKind::of(&insight_type)?,
            management: categories.contains(&SourceEventCategory::Management),
            data: categories.contains(&SourceEventCategory::Data),
        })
    }

    fn describe(self) -> Selector {
        let insight_type = match self.kind {
            InsightKind::CallRate => InsightType::ApiCallRateInsight,
            InsightKind::ErrorRate => InsightType::ApiErrorRateInsight,
        };
        let management = self.management.then_some(SourceEventCategory::Management);
        let categories = management.into_iter().chain(self.data.then_some(SourceEventCategory::Data));
        Selector { insight_type: Some(insight_type), event_categories: Some(categories.collect()) }
    }
}

pub(crate) async fn put_insight_selectors(cx: &mut Call, input: PutInsightSelectorsInput) -> Result<PutInsightSelectorsOutput, ApiError> {
    let Some(name) = input.trail_name.filter(|_| input.event_data_store.is_none() && input.insights_destination.is_none()) else {
        return Err(TrailError::Combination("Name a trail; Insights of event data stores are not supported here.").into());
    };
    let mut trail = trail::find_to_change(cx, &name).await?;
    let selectors = input.insight_selectors.into_iter().map(InsightSelector::parse).collect::<Result<Vec<_>, _>>()?;
    for (at, selector) in selectors.iter().enumerate() {
        if selectors.iter().take(at).any(|earlier| earlier.kind == selector.kind) {
            return Err(TrailError::InsightSelectors("An insight type is named twice.").into());
        }
    }
    trail.insights = selectors;
    trail.put(&mut cx.tx)?;
    Ok(PutInsightSelectorsOutput {
        trail_arn: Some(trail.arn()),
        insight_selectors: Some(trail.insights.iter().copied().map(InsightSelector::describe).collect()),
        ..PutInsightSelectorsOutput::default()
    })
}

pub(crate) async fn get_insight_selectors(cx: &mut Call, input: GetInsightSelectorsInput) -> Result<GetInsightSelectorsOutput, ApiError> {
    let Some(name) = input.trail_name.filter(|_| input.event_data_store.is_none()) else {
        return Err(TrailError::Combination("Name a trail; Insights of event data stores are not supported here.").into());
    };
    let trail = trail::find(cx, &name).await?;
    if trail.insights.is_empty() {
        return Err(TrailError::NoInsights(trail.arn()).into());
    }
    Ok(GetInsightSelectorsOutput {
        trail_arn: Some(trail.arn()),
        insight_selectors: Some(trail.insights.iter().copied().map(InsightSelector::describe).collect()),
        ..GetInsightSelectorsOutput::default()
    })
}
