//! Notification settings of trust anchors: before which days one would hear of certificates that end. Nothing is sent here; the settings are kept
//! and shown.
//!
//! Source: IAM Roles Anywhere API Reference, "NotificationSetting" and "NotificationSettingDetail"; User Guide, "Customize notification settings".

use std::collections::BTreeMap;

use api_rolesanywhere::{
    NotificationChannel, NotificationEvent, NotificationSetting, NotificationSettingDetail, PutNotificationSettingsInput,
    PutNotificationSettingsOutput, ResetNotificationSettingsInput, ResetNotificationSettingsOutput,
};
use plane::{ApiError, Call};
use serde::{Deserialize, Serialize};

use crate::error::RolesAnywhereError;
use crate::resource;
use crate::trust_anchor::TrustAnchorRecord;

/// Days of a setting that nobody changed.
const DEFAULT_DAYS: i32 = 45;
const DEFAULT_AUTHOR: &str = "rolesanywhere.amazonaws.com";

/// What one is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Event {
    AuthorityExpiry,
    EndEntityExpiry,
}

impl Event {
    const ALL: [Self; 2] = [Self::AuthorityExpiry, Self::EndEntityExpiry];

    fn of(event: &NotificationEvent) -> Option<Self> {
        match event {
            NotificationEvent::CaCertificateExpiry => Some(Self::AuthorityExpiry),
            NotificationEvent::EndEntityCertificateExpiry => Some(Self::EndEntityExpiry),
            NotificationEvent::Other(_) => None,
        }
    }

    fn to_api(self) -> NotificationEvent {
        match self {
            Self::AuthorityExpiry => NotificationEvent::CaCertificateExpiry,
            Self::EndEntityExpiry => NotificationEvent::EndEntityCertificateExpiry,
        }
    }
}

/// A setting that differs from the default. There is one channel: all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Setting {
    enabled: bool,
    days: Option<i32>,
}

/// Settings of an anchor by event; what is absent has its default.
pub(crate) type Settings = BTreeMap<Event, Setting>;

/// Settings of a request, checked.
pub(crate) fn of_input(settings: Vec<NotificationSetting>) -> Result<Settings, RolesAnywhereError> {
    let mut taken = Settings::new();
    for setting in settings {
        let Some(event) = Event::of(&setting.event) else { continue };
        if setting.enabled && setting.threshold.is_none() {
            return Err(RolesAnywhereError::Validation("A threshold is required for a notification setting that is enabled".to_owned()));
        }
        if taken.insert(event, Setting { enabled: setting.enabled, days: setting.threshold }).is_some() {
            return Err(RolesAnywhereError::Validation("Duplicate notification setting for an event and channel".to_owned()));
        }
    }
    Ok(taken)
}

/// All settings, as they are shown.
pub(crate) fn details(settings: &Settings, account: &str) -> Vec<NotificationSettingDetail> {
    let detail = |event: Event| {
        let own = settings.get(&event);
        NotificationSettingDetail {
            enabled: own.is_none_or(|setting| setting.enabled),
            event: event.to_api(),
            threshold: own.map_or(Some(DEFAULT_DAYS), |setting| setting.days),
            channel: Some(NotificationChannel::All),
            configured_by: Some(if own.is_some() { account } else { DEFAULT_AUTHOR }.to_owned()),
        }
    };
    Event::ALL.into_iter().map(detail).collect()
}

pub(crate) async fn put_notification_settings(
    cx: &mut Call,
    input: PutNotificationSettingsInput,
) -> Result<PutNotificationSettingsOutput, ApiError> {
    let mut record = resource::load::<TrustAnchorRecord>(cx, &input.trust_anchor_id).await?;
    record.notifications.extend(of_input(input.notification_settings)?);
    record.updated_ms = cx.now.0;
    resource::save(cx, &record)?;
    Ok(PutNotificationSettingsOutput { trust_anchor: record.detail(cx) })
}

pub(crate) async fn reset_notification_settings(
    cx: &mut Call,
    input: ResetNotificationSettingsInput,
) -> Result<ResetNotificationSettingsOutput, ApiError> {
    let mut record = resource::load::<TrustAnchorRecord>(cx, &input.trust_anchor_id).await?;
    for event in input.notification_setting_keys.iter().filter_map(|key| Event::of(&key.event)) {
        record.notifications.remove(&event);
    }
    record.updated_ms = cx.now.0;
    resource::save(cx, &record)?;
    Ok(ResetNotificationSettingsOutput { trust_anchor: record.detail(cx) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(event: NotificationEvent, enabled: bool, threshold: Option<i32>) -> NotificationSetting {
        NotificationSetting { enabled, event, threshold, channel: None }
    }

    #[test]
    fn an_enabled_setting_has_days_and_each_event_one_setting() {
        let ca = || NotificationEvent::CaCertificateExpiry;
        assert!(of_input(vec![setting(ca(), true, None)]).is_err());
        assert!(of_input(vec![setting(ca(), true, Some(3)), setting(ca(), false, None)]).is_err());
        let settings = of_input(vec![setting(ca(), false, None)]).unwrap();
        let shown: Vec<_> = details(&settings, "1").into_iter().map(|it| (it.enabled, it.threshold, it.configured_by.unwrap())).collect();
        assert_eq!(shown, [(false, None, "1".to_owned()), (true, Some(DEFAULT_DAYS), DEFAULT_AUTHOR.to_owned())]);
    }
}
