//! What an account uses, as GitHub's billing API shows it. Nothing costs anything here, so all amounts are zero.

use crate::call::Call;
use crate::error::{ApiError, Field};
use crate::respond::Answer;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use packhouse_service::{ListError, Usage};
use schemars::JsonSchema;
use serde::Serialize;

const PRODUCT: &str = "packages";
const STORAGE: &str = "packages_storage";
const TRANSFER: &str = "packages_bandwidth";
const GIGABYTE: f64 = 1e9;

/// What one product was used for on a day.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UsageItem {
    date: String,
    product: &'static str,
    sku: &'static str,
    /// Whole units, rounded up.
    quantity: u64,
    unit_type: &'static str,
    price_per_unit: f64,
    gross_amount: f64,
    discount_amount: f64,
    net_amount: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization_name: Option<String>,
}

/// A report by day.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UsageReport {
    usage_items: Vec<UsageItem>,
}

/// The time that a summary is about.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TimePeriod {
    year: i16,
    #[serde(skip_serializing_if = "Option::is_none")]
    month: Option<i8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<i8>,
}

/// What one product was used for in all.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SummaryItem {
    product: &'static str,
    sku: &'static str,
    unit_type: &'static str,
    price_per_unit: f64,
    gross_quantity: f64,
    gross_amount: f64,
    discount_quantity: f64,
    discount_amount: f64,
    net_quantity: f64,
    net_amount: f64,
}

/// A report in all.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UsageSummary {
    time_period: TimePeriod,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    usage_items: Vec<SummaryItem>,
}

/// Transfer of a month, in the form of an older edition.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PackagesBilling {
    total_gigabytes_bandwidth_used: u64,
    total_paid_gigabytes_bandwidth_used: u64,
    included_gigabytes_bandwidth: u64,
}

/// Storage, in the form of an older edition.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SharedStorage {
    days_left_in_billing_cycle: i8,
    estimated_paid_storage_for_month: u64,
    estimated_storage_for_month: u64,
}

/// What a report is asked about. Storage is known for today only, and transfer by the month.
struct Period {
    today: Date,
    year: i16,
    month: Option<i8>,
    day: Option<i8>,
}

impl Period {
    fn parse(call: &Call<'_>) -> Result<Self, ApiError> {
        let today = Offset::UTC.to_datetime(Timestamp::now()).date();
        let number = |name: &'static str, from: i16, to: i16| match call.query.get(name) {
            None => Ok(None),
            Some(text) => match text.parse::<i16>() {
                Ok(number) if (from..=to).contains(&number) => Ok(Some(number)),
                _ => Err(ApiError::invalid_query(vec![Field::invalid("UsageReport", name)])),
            },
        };
        let small = |number: Option<i16>| number.and_then(|number| i8::try_from(number).ok());
        let (year, month, day) =
            (number("year", 2000, 9999)?, number("month", 1, 12)?, number("day", 1, 31)?);
        let month = small(month).or_else(|| year.is_none().then(|| today.month()));
        Ok(Period { today, year: year.unwrap_or(today.year()), month, day: small(day) })
    }

    fn month_number(&self) -> i64 {
        i64::from(self.year) * 100 + i64::from(self.month.unwrap_or(self.today.month()))
    }

    /// Whether today is in it.
    fn is_now(&self) -> bool {
        self.year == self.today.year()
            && self.month.is_none_or(|month| month == self.today.month())
            && self.day.is_none_or(|day| day == self.today.day())
    }
}

async fn usage(call: &Call<'_>, parameter: &str, month: Option<i64>) -> Result<Usage, ApiError> {
    call.service.usage(&call.shown, call.param(parameter), month).await.map_err(|error| match error {
        ListError::Denied(denied) => ApiError::denied(&denied, ""),
        ListError::NameUnknown => ApiError::not_found(""),
        ListError::Fault(fault) => ApiError::fault(&fault),
    })
}

fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / GIGABYTE
}

fn whole_gigabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000_000)
}

fn report(usage: &Usage, period: &Period, organization: bool) -> UsageReport {
    let item = |sku, quantity, unit_type| UsageItem {
        date: format!("{}T00:00:00Z", period.today),
        product: PRODUCT,
        sku,
        quantity,
        unit_type,
        price_per_unit: 0.0,
        gross_amount: 0.0,
        discount_amount: 0.0,
        net_amount: 0.0,
        organization_name: organization.then(|| usage.login.clone()),
    };
    let all = [
        (STORAGE, whole_gigabytes(usage.storage), "gigabytes"),
        (TRANSFER, whole_gigabytes(usage.transfer), "gigabytes"),
    ];
    let items = all.into_iter().filter(|(_, quantity, _)| *quantity > 0 && period.is_now());
    UsageReport { usage_items: items.map(|(sku, quantity, unit)| item(sku, quantity, unit)).collect() }
}

fn summary(usage: &Usage, period: &Period, organization: bool) -> UsageSummary {
    let item = |sku, quantity| SummaryItem {
        product: PRODUCT,
        sku,
        unit_type: "gigabytes",
        price_per_unit: 0.0,
        gross_quantity: quantity,
        gross_amount: 0.0,
        discount_quantity: 0.0,
        discount_amount: 0.0,
        net_quantity: quantity,
        net_amount: 0.0,
    };
    let mut usage_items = vec![item(TRANSFER, gigabytes(usage.transfer))];
    if period.is_now() {
        usage_items.insert(0, item(STORAGE, gigabytes(usage.storage)));
    }
    UsageSummary {
        time_period: TimePeriod { year: period.year, month: period.month, day: period.day },
        organization: organization.then(|| usage.login.clone()),
        user: (!organization).then(|| usage.login.clone()),
        usage_items,
    }
}

/// `GET /organizations/{org}/settings/billing/usage`
pub(crate) async fn of_organization(call: Call<'_>) -> Result<Answer, ApiError> {
    let period = Period::parse(&call)?;
    let usage = usage(&call, "org", Some(period.month_number())).await?;
    Ok(Answer::ok(&report(&usage, &period, true)))
}

/// `GET /users/{username}/settings/billing/usage`
pub(crate) async fn of_user(call: Call<'_>) -> Result<Answer, ApiError> {
    let period = Period::parse(&call)?;
    let usage = usage(&call, "username", Some(period.month_number())).await?;
    Ok(Answer::ok(&report(&usage, &period, false)))
}

/// `GET /organizations/{org}/settings/billing/usage/summary`
pub(crate) async fn summary_of_organization(call: Call<'_>) -> Result<Answer, ApiError> {
    let period = Period::parse(&call)?;
    let usage = usage(&call, "org", Some(period.month_number())).await?;
    Ok(Answer::ok(&summary(&usage, &period, true)))
}

/// `GET /users/{username}/settings/billing/usage/summary`
pub(crate) async fn summary_of_user(call: Call<'_>) -> Result<Answer, ApiError> {
    let period = Period::parse(&call)?;
    let usage = usage(&call, "username", Some(period.month_number())).await?;
    Ok(Answer::ok(&summary(&usage, &period, false)))
}

/// `GET /orgs/{org}/settings/billing/packages`
pub(crate) async fn packages_of_organization(call: Call<'_>) -> Result<Answer, ApiError> {
    Ok(Answer::ok(&packages(&usage(&call, "org", None).await?)))
}

/// `GET /users/{username}/settings/billing/packages`
pub(crate) async fn packages_of_user(call: Call<'_>) -> Result<Answer, ApiError> {
    Ok(Answer::ok(&packages(&usage(&call, "username", None).await?)))
}

fn packages(usage: &Usage) -> PackagesBilling {
    let total = whole_gigabytes(usage.private_transfer);
    // Without a limit, what was used is included.
    PackagesBilling {
        total_gigabytes_bandwidth_used: total,
        total_paid_gigabytes_bandwidth_used: 0,
        included_gigabytes_bandwidth: usage.limits.private_transfer.map_or(total, whole_gigabytes),
    }
}

/// `GET /orgs/{org}/settings/billing/shared-storage`
pub(crate) async fn storage_of_organization(call: Call<'_>) -> Result<Answer, ApiError> {
    Ok(Answer::ok(&storage(&usage(&call, "org", None).await?)))
}

/// `GET /users/{username}/settings/billing/shared-storage`
pub(crate) async fn storage_of_user(call: Call<'_>) -> Result<Answer, ApiError> {
    Ok(Answer::ok(&storage(&usage(&call, "username", None).await?)))
}

fn storage(usage: &Usage) -> SharedStorage {
    let today = Offset::UTC.to_datetime(Timestamp::now()).date();
    SharedStorage {
        days_left_in_billing_cycle: today.days_in_month() - today.day(),
        estimated_paid_storage_for_month: 0,
        estimated_storage_for_month: whole_gigabytes(usage.private_storage),
    }
}
