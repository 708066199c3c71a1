//! Expressions: names are resolved, kinds are followed, functions are looked up in the list.

use sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, CeilFloorKind, DataType, DateTimeField, DuplicateTreatment, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArguments, Ident, ObjectNamePart, Subscript, TrimWhereField, UnaryOperator, Value, WindowSpec, WindowType,
};

use crate::clause;
use crate::column::{Column, Form as CellForm, Step, json_path};
use crate::function_list::{self, Form, Gives};
use crate::plan::{Content, Planner, QueryError, Relation, Scope, identifier, literal};
use crate::schema::{self, Kind};
use crate::timestamp;

/// SQL with what it gives.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    pub sql: String,
    pub kind: Kind,
}

fn typed(sql: impl Into<String>, kind: Kind) -> Typed {
    Typed { sql: sql.into(), kind }
}

type Translated = Result<Typed, QueryError>;

/// A condition.
pub(crate) fn boolean(planner: &mut Planner<'_>, expr: &Expr, scope: &Scope) -> Result<String, QueryError> {
    let Typed { sql, kind } = translate(planner, expr, scope)?;
    match kind {
        Kind::Boolean | Kind::Unknown => Ok(sql),
        other => Err(QueryError::Operator { left: kind_name(other), operator: "as a condition".to_owned(), right: "boolean" }),
    }
}

/// An expression.
pub(crate) fn translate(planner: &mut Planner<'_>, expr: &Expr, scope: &Scope) -> Translated {
    planner.enter()?;
    let loose = planner.loose.len();
    let translated = translate_node(planner, expr, scope)?;
    planner.leave();
    if planner.groups.contains(&translated.sql) {
        planner.loose.truncate(loose);
    }
    Ok(translated)
}

fn translate_node(planner: &mut Planner<'_>, expr: &Expr, scope: &Scope) -> Translated {
    match expr {
        Expr::Identifier(name) => column(planner, std::slice::from_ref(name), scope),
        Expr::CompoundIdentifier(names) => column(planner, names, scope),
        Expr::CompoundFieldAccess { root, access_chain } => access(planner, root, access_chain, scope),
        Expr::Nested(inner) => translate(planner, inner, scope).map(|inner| typed(format!("({})", inner.sql), inner.kind)),
        Expr::Value(value) => constant(planner, &value.value),
        Expr::TypedString(string) => {
            let Value::SingleQuotedString(text) = &string.value.value else { return Err(QueryError::Unsupported("this literal")) };
            timed_literal(text, &string.data_type)
        }
        Expr::BinaryOp { left, op, right } => binary(planner, left, op, right, scope),
        Expr::UnaryOp { op, expr } => unary(planner, *op, expr, scope),
        Expr::IsNull(inner) => test(planner, inner, "IS NULL", scope),
        Expr::IsNotNull(inner) => test(planner, inner, "IS NOT NULL", scope),
        Expr::IsTrue(inner) => test(planner, inner, "IS TRUE", scope),
        Expr::IsNotTrue(inner) => test(planner, inner, "IS NOT TRUE", scope),
        Expr::IsFalse(inner) => test(planner, inner, "IS FALSE", scope),
        Expr::IsNotFalse(inner) => test(planner, inner, "IS NOT FALSE", scope),
        Expr::IsDistinctFrom(left, right) => compare(planner, left, "IS NOT", right, scope),
        Expr::IsNotDistinctFrom(left, right) => compare(planner, left, "IS", right, scope),
        Expr::InList { expr, list, negated } => in_list(planner, expr, list, *negated, scope),
        Expr::InSubquery { expr, subquery, negated } => {
            let left = translate(planner, expr, scope)?;
            let (sql, columns) = planner.inner(subquery)?;
            comparable(left.kind, clause::single_kind(&columns)?, "IN")?;
            Ok(typed(format!("({} {}IN ({sql}))", left.sql, not(*negated)), Kind::Boolean))
        }
        Expr::Exists { subquery, negated } => {
            let (sql, _) = planner.inner(subquery)?;
            Ok(typed(format!("({}EXISTS ({sql}))", not(*negated)), Kind::Boolean))
        }
        Expr::Subquery(query) => {
            let (sql, columns) = planner.inner(query)?;
            Ok(typed(format!("({sql})"), clause::single_kind(&columns)?))
        }
        Expr::Between { expr, negated, low, high } => {
            let value = translate(planner, expr, scope)?;
            let low = against(planner, value.kind, low, "BETWEEN", scope)?;
            let high = against(planner, value.kind, high, "BETWEEN", scope)?;
            Ok(typed(format!("({} {}BETWEEN {low} AND {high})", value.sql, not(*negated)), Kind::Boolean))
        }
        Expr::Like { negated, any: false, expr, pattern, escape_char } => {
            let value = text_argument(planner, expr, "LIKE", scope)?;
            let pattern = text_argument(planner, pattern, "LIKE", scope)?;
            let escape = match escape_char {
                Some(escape) => format!(" ESCAPE {}", text_argument(planner, escape, "LIKE", scope)?),
                None => String::new(),
            };
            Ok(typed(format!("({value} {}LIKE {pattern}{escape})", not(*negated)), Kind::Boolean))
        }
        Expr::Case { operand, conditions, else_result, .. } => case(planner, operand.as_deref(), conditions, else_result.as_deref(), scope),
        Expr::Cast { kind: CastKind::Cast | CastKind::TryCast | CastKind::SafeCast, expr, data_type, format: None } => {
            cast(planner, expr, data_type, scope)
        }
        Expr::AtTimeZone { timestamp, time_zone } => at_time_zone(planner, timestamp, time_zone, scope),
        Expr::Extract { field, expr, .. } => call_own(planner, extracted(field)?, &[expr], scope),
        Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => call_own(planner, "ceil", &[expr], scope),
        Expr::Floor { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => call_own(planner, "floor", &[expr], scope),
        Expr::Position { expr, r#in } => {
            let (part, whole) = (text_argument(planner, expr, "position", scope)?, text_argument(planner, r#in, "position", scope)?);
            Ok(typed(format!("instr({whole}, {part})"), Kind::Integer))
        }
        Expr::Substring { expr, substring_from: Some(from), substring_for, .. } => {
            let mut arguments = vec![text_argument(planner, expr, "substring", scope)?, translate(planner, from, scope)?.sql];
            if let Some(length) = substring_for {
                arguments.push(translate(planner, length, scope)?.sql);
            }
            Ok(typed(format!("substr({})", arguments.join(", ")), Kind::Text))
        }
        Expr::Trim { trim_where, trim_what, expr, trim_characters: None } => {
            let name = match trim_where {
                None | Some(TrimWhereField::Both) => "trim",
                Some(TrimWhereField::Leading) => "ltrim",
                Some(TrimWhereField::Trailing) => "rtrim",
            };
            let mut arguments = vec![text_argument(planner, expr, name, scope)?];
            if let Some(what) = trim_what {
                arguments.push(text_argument(planner, what, name, scope)?);
            }
            Ok(typed(format!("{name}({})", arguments.join(", ")), Kind::Text))
        }
        Expr::Interval(interval) => {
            let amount = match interval.value.as_ref() {
                Expr::Value(value) => match &value.value {
                    Value::SingleQuotedString(text) | Value::Number(text, _) => {
                        text.trim().parse::<i64>().map_err(|_| QueryError::Literal(text.clone()))?
                    }
                    _ => return Err(QueryError::Unsupported("this interval")),
                },
                _ => return Err(QueryError::Unsupported("this interval")),
            };
            let unit =
                interval.leading_field.as_ref().map(extracted).transpose()?.ok_or(QueryError::Unsupported("an interval without a unit"))?;
            Ok(typed(format!("'{unit}', {amount}"), Kind::Interval))
        }
        Expr::Function(function) => call(planner, function, scope),
        _ => Err(QueryError::Unsupported("this expression")),
    }
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

fn constant(planner: &mut Planner<'_>, value: &Value) -> Translated {
    match value {
        Value::Number(digits, _) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse::<i64>().map_err(|_| QueryError::Literal(digits.clone()))?;
            Ok(typed(digits, Kind::Integer))
        }
        Value::Number(digits, _) => {
            let number =
                digits.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or_else(|| QueryError::Literal(digits.clone()))?;
            Ok(typed(format!("{number:?}"), Kind::Double))
        }
        Value::SingleQuotedString(text) => Ok(typed(literal(text)?, Kind::Text)),
        Value::Boolean(value) => Ok(typed(if *value { "1" } else { "0" }, Kind::Boolean)),
        Value::Null => Ok(typed("NULL", Kind::Unknown)),
        Value::Placeholder(mark) if mark == "?" => Ok(typed(literal(planner.next_parameter()?)?, Kind::Text)),
        _ => Err(QueryError::Unsupported("this literal")),
    }
}

fn timed_literal(text: &str, data_type: &DataType) -> Translated {
    let time_ms = timestamp::parse(text).ok_or_else(|| QueryError::Literal(text.to_owned()))?;
    match data_type {
        DataType::Timestamp(..) => Ok(typed(literal(&timestamp::text(time_ms))?, Kind::Timestamp)),
        DataType::Date => Ok(typed(literal(&timestamp::date_text(time_ms))?, Kind::Date)),
        _ => Err(QueryError::Unsupported("this literal")),
    }
}

/// The relation that an expression's one column belongs to, by its place.
pub(crate) fn relation_of(expr: &Expr, scope: &Scope) -> Option<usize> {
    let names: &[Ident] = match expr {
        Expr::Identifier(name) => std::slice::from_ref(name),
        Expr::CompoundIdentifier(names) => names,
        Expr::Nested(inner) => return relation_of(inner, scope),
        Expr::CompoundFieldAccess { root, .. } => return relation_of(root, scope),
        Expr::Cast { expr, .. } => return relation_of(expr, scope),
        Expr::Function(Function { args: FunctionArguments::List(list), .. }) => {
            return list.args.iter().find_map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => relation_of(expr, scope),
                _ => None,
            });
        }
        _ => return None,
    };
    place(names, scope).ok().map(|(at, _)| at)
}

/// Finds the relation of a name, and what of the name is behind its alias.
fn place<'n>(names: &'n [Ident], scope: &Scope) -> Result<(usize, &'n [Ident]), QueryError> {
    let unknown = || QueryError::UnknownColumn(names.iter().map(|name| name.value.as_str()).collect::<Vec<_>>().join("."));
    let (first, rest) = names.split_first().ok_or_else(unknown)?;
    if !rest.is_empty()
        && let Some(at) = scope.relations.iter().position(|relation| relation.alias.eq_ignore_ascii_case(&first.value))
    {
        return Ok((at, rest));
    }
    let mut having = scope.relations.iter().enumerate().filter(|(_, relation)| has_column(relation, &first.value));
    match (having.next(), having.next()) {
        (Some((at, _)), None) => Ok((at, names)),
        (Some(_), Some(_)) => Err(QueryError::AmbiguousColumn(first.value.clone())),
        (None, _) => Err(unknown()),
    }
}

fn has_column(relation: &Relation, name: &str) -> bool {
    match &relation.content {
        Content::Store { schema, .. } => schema.find(name).is_some(),
        Content::Rows(columns) => columns.iter().any(|column| column.name.eq_ignore_ascii_case(name)),
    }
}

fn column(planner: &mut Planner<'_>, names: &[Ident], scope: &Scope) -> Translated {
    let written = || names.iter().map(|name| name.value.as_str()).collect::<Vec<_>>().join(".");
    if let [name] = names {
        if let Some(output) = scope.outputs.iter().find(|output| output.name.eq_ignore_ascii_case(&name.value)) {
            return Ok(typed(identifier(&output.name), output.kind));
        }
        if name.quote_style.is_none() && matches!(name.value.to_ascii_lowercase().as_str(), "current_timestamp" | "current_date") {
            return Ok(now(planner, name.value.eq_ignore_ascii_case("current_date")));
        }
    }
    let (at, names) = place(names, scope)?;
    let relation = scope.relations.get(at).ok_or_else(|| QueryError::UnknownColumn(written()))?;
    let (first, members) = names.split_first().ok_or_else(|| QueryError::UnknownColumn(written()))?;
    match &relation.content {
        Content::Store { id, schema } => {
            let mut field = schema.find(&first.value).ok_or_else(|| QueryError::UnknownColumn(written()))?;
            let mut name = field.name.to_owned();
            let mut steps = if field.member == schema::WHOLE { Vec::new() } else { vec![Step::Member(field.member.to_owned())] };
            for member in members {
                let Kind::Struct(fields) = field.kind else { return Err(QueryError::UnknownColumn(written())) };
                field = schema::find(fields, &member.value).ok_or_else(|| QueryError::UnknownColumn(written()))?;
                name = format!("{name}.{}", field.name);
                steps.push(Step::Member(field.member.to_owned()));
            }
            planner.loose.push(name.clone());
            let name = planner.need(id, Column::of_kind(name, steps, field.kind));
            Ok(typed(format!("{}.{name}", identifier(&relation.alias)), field.kind))
        }
        Content::Rows(columns) => {
            let column = columns
                .iter()
                .find(|column| column.name.eq_ignore_ascii_case(&first.value))
                .ok_or_else(|| QueryError::UnknownColumn(written()))?;
            planner.loose.push(column.name.clone());
            let start = typed(format!("{}.{}", identifier(&relation.alias), identifier(&column.name)), column.kind);
            members.iter().try_fold(start, |value, name| member(&value, &name.value))
        }
    }
}

/// A member of a structure that is a value already.
fn member(value: &Typed, name: &str) -> Translated {
    let unknown = || QueryError::UnknownColumn(name.to_owned());
    let Kind::Struct(fields) = value.kind else { return Err(unknown()) };
    let field = schema::find(fields, name).ok_or_else(unknown)?;
    let sql = format!("lake_member({}, {})", value.sql, literal(field.member)?);
    Ok(match field.kind {
        Kind::Timestamp => typed(format!("lake_to_timestamp({sql})"), Kind::Timestamp),
        kind => typed(sql, kind),
    })
}

fn access(planner: &mut Planner<'_>, root: &Expr, chain: &[AccessExpr], scope: &Scope) -> Translated {
    let mut rest = chain;
    // `useridentity.sessioncontext['x']`: the names before the first bracket are one column.
    let mut names = match root {
        Expr::Identifier(name) => vec![name.clone()],
        Expr::CompoundIdentifier(names) => names.clone(),
        _ => Vec::new(),
    };
    if !names.is_empty() {
        while let Some((AccessExpr::Dot(Expr::Identifier(name)), tail)) = rest.split_first() {
            names.push(name.clone());
            rest = tail;
        }
    }
    let mut container = if names.is_empty() { Some(root.clone()) } else { Some(Expr::CompoundIdentifier(names)) };
    let mut value: Option<Typed> = None;
    for step in rest {
        let from = container.take();
        value = Some(match (step, value, &from) {
            (AccessExpr::Dot(Expr::Identifier(name)), Some(value), _) => member(&value, &name.value)?,
            (AccessExpr::Dot(Expr::Identifier(name)), None, Some(from)) => member(&translate(planner, from, scope)?, &name.value)?,
            (AccessExpr::Subscript(Subscript::Index { index }), None, Some(from)) => element_of(planner, from, index, scope)?,
            (AccessExpr::Subscript(Subscript::Index { index }), Some(value), _) => element(planner, value, index, scope)?,
            _ => return Err(QueryError::Unsupported("this way into a value")),
        });
    }
    match (value, container) {
        (Some(value), _) => Ok(value),
        (None, Some(container)) => translate(planner, &container, scope),
        (None, None) => Err(QueryError::Unsupported("this way into a value")),
    }
}

/// One element of what an expression gives. Of a map that is a column, with a key that is known, it is a column of its own, and the whole
/// map is not needed.
fn element_of(planner: &mut Planner<'_>, container: &Expr, key: &Expr, scope: &Scope) -> Translated {
    if let (Some(key), Some((store, mut column, alias))) = (text_of(key), physical(container, scope))
        && column.kind == Kind::Map
    {
        planner.loose.push(column.column.name.clone());
        column.column.name = format!("{}['{key}']", column.column.name);
        column.column.steps.push(Step::Member(key));
        column.column.form = CellForm::Text;
        let name = planner.need(&store, column.column);
        return Ok(typed(format!("{alias}.{name}"), Kind::Text));
    }
    let value = translate(planner, container, scope)?;
    element(planner, value, key, scope)
}

/// A column with its kind.
struct PhysicalColumn {
    column: Column,
    kind: Kind,
}

/// One element of a map or an array.
fn element(planner: &mut Planner<'_>, value: Typed, key: &Expr, scope: &Scope) -> Translated {
    let index = translate(planner, key, scope)?;
    let kind = match value.kind {
        Kind::Array(fields) => Kind::Struct(fields),
        Kind::Map => Kind::Text,
        Kind::Json | Kind::Unknown => Kind::Json,
        other => return Err(QueryError::Argument { function: "element_at".to_owned(), problem: kind_name(other) }),
    };
    let expected = if value.kind == Kind::Map { Kind::Text } else { Kind::Integer };
    if value.kind != Kind::Unknown && value.kind != Kind::Json && index.kind != expected && index.kind != Kind::Unknown {
        return Err(QueryError::Argument { function: "element_at".to_owned(), problem: kind_name(index.kind) });
    }
    Ok(typed(format!("lake_element_at({}, {})", value.sql, index.sql), kind))
}

fn text_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// The table's column that an expression is, when it is nothing but one; the column itself is then not needed as a whole.
fn physical(expr: &Expr, scope: &Scope) -> Option<(String, PhysicalColumn, String)> {
    let names: &[Ident] = match expr {
        Expr::Identifier(name) => std::slice::from_ref(name),
        Expr::CompoundIdentifier(names) => names,
        Expr::Nested(inner) => return physical(inner, scope),
        _ => return None,
    };
    let (at, names) = place(names, scope).ok()?;
    let relation = scope.relations.get(at)?;
    let Content::Store { id, schema } = &relation.content else { return None };
    let (first, members) = names.split_first()?;
    let mut field = schema.find(&first.value)?;
    let mut name = field.name.to_owned();
    let mut steps = if field.member == schema::WHOLE { Vec::new() } else { vec![Step::Member(field.member.to_owned())] };
    for member in members {
        let Kind::Struct(fields) = field.kind else { return None };
        field = schema::find(fields, &member.value)?;
        name = format!("{name}.{}", field.name);
        steps.push(Step::Member(field.member.to_owned()));
    }
    let column = PhysicalColumn { column: Column::of_kind(name, steps, field.kind), kind: field.kind };
    Some((id.clone(), column, identifier(&relation.alias)))
}

fn binary(planner: &mut Planner<'_>, left: &Expr, op: &BinaryOperator, right: &Expr, scope: &Scope) -> Translated {
    use BinaryOperator as Op;
    match op {
        Op::And | Op::Or => {
            let (left, right) = (boolean(planner, left, scope)?, boolean(planner, right, scope)?);
            Ok(typed(format!("({left} {} {right})", if *op == Op::And { "AND" } else { "OR" }), Kind::Boolean))
        }
        Op::Eq => compare(planner, left, "=", right, scope),
        Op::NotEq => compare(planner, left, "<>", right, scope),
        Op::Lt => compare(planner, left, "<", right, scope),
        Op::LtEq => compare(planner, left, "<=", right, scope),
        Op::Gt => compare(planner, left, ">", right, scope),
        Op::GtEq => compare(planner, left, ">=", right, scope),
        Op::StringConcat => {
            let (left, right) = (text_argument(planner, left, "||", scope)?, text_argument(planner, right, "||", scope)?);
            Ok(typed(format!("({left} || {right})"), Kind::Text))
        }
        Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo => arithmetic(planner, left, op, right, scope),
        _ => Err(QueryError::Unsupported("this operator")),
    }
}

fn arithmetic(planner: &mut Planner<'_>, left: &Expr, op: &BinaryOperator, right: &Expr, scope: &Scope) -> Translated {
    let (left, right) = (translate(planner, left, scope)?, translate(planner, right, scope)?);
    let is_number = |kind| matches!(kind, Kind::Integer | Kind::Double | Kind::Unknown);
    if is_number(left.kind) && is_number(right.kind) {
        let kind = if left.kind == Kind::Double || right.kind == Kind::Double { Kind::Double } else { Kind::Integer };
        if *op == BinaryOperator::Modulo {
            return Ok(typed(format!("lake_mod({}, {})", left.sql, right.sql), kind));
        }
        return Ok(typed(format!("({} {op} {})", left.sql, right.sql), kind));
    }
    let is_time = |kind| matches!(kind, Kind::Timestamp | Kind::Date);
    let (time, span) = match op {
        BinaryOperator::Plus | BinaryOperator::Minus if is_time(left.kind) && right.kind == Kind::Interval => (left, right),
        BinaryOperator::Plus if left.kind == Kind::Interval && is_time(right.kind) => (right, left),
        _ => {
            return Err(QueryError::Operator { left: kind_name(left.kind), operator: op.to_string(), right: kind_name(right.kind) });
        }
    };
    let sign = if *op == BinaryOperator::Minus { "-" } else { "" };
    let (unit, amount) = span.sql.split_once(", ").unwrap_or_default();
    let added = format!("lake_date_add({unit}, {sign}({amount}), {})", time.sql);
    Ok(typed(added, time.kind))
}

fn unary(planner: &mut Planner<'_>, op: UnaryOperator, expr: &Expr, scope: &Scope) -> Translated {
    match op {
        UnaryOperator::Not => boolean(planner, expr, scope).map(|inner| typed(format!("(NOT {inner})"), Kind::Boolean)),
        UnaryOperator::Minus | UnaryOperator::Plus => {
            let inner = translate(planner, expr, scope)?;
            if !matches!(inner.kind, Kind::Integer | Kind::Double | Kind::Unknown) {
                return Err(QueryError::Operator { left: kind_name(inner.kind), operator: op.to_string(), right: "number" });
            }
            Ok(typed(format!("({op} {})", inner.sql), inner.kind))
        }
        _ => Err(QueryError::Unsupported("this operator")),
    }
}

fn test(planner: &mut Planner<'_>, expr: &Expr, words: &str, scope: &Scope) -> Translated {
    translate(planner, expr, scope).map(|inner| typed(format!("({} {words})", inner.sql), Kind::Boolean))
}

fn compare(planner: &mut Planner<'_>, left: &Expr, operator: &str, right: &Expr, scope: &Scope) -> Translated {
    let first = translate(planner, left, scope)?;
    let second = translate(planner, right, scope)?;
    comparable(first.kind, second.kind, operator)?;
    let (left_sql, right_sql) =
        (timed(left, &first, second.kind)?.unwrap_or(first.sql), timed(right, &second, first.kind)?.unwrap_or(second.sql));
    Ok(typed(format!("({left_sql} {operator} {right_sql})"), Kind::Boolean))
}

/// The right side of a comparison with a value of this kind.
fn against(planner: &mut Planner<'_>, kind: Kind, expr: &Expr, operator: &str, scope: &Scope) -> Result<String, QueryError> {
    let value = translate(planner, expr, scope)?;
    comparable(kind, value.kind, operator)?;
    Ok(timed(expr, &value, kind)?.unwrap_or(value.sql))
}

/// A text or date that is compared with a timestamp takes its form, so that the order of texts is the order in time.
fn timed(expr: &Expr, value: &Typed, other: Kind) -> Result<Option<String>, QueryError> {
    match (other, value.kind) {
        (Kind::Timestamp, Kind::Text) => match text_of(expr) {
            Some(text) => {
                let time_ms = timestamp::parse(&text).ok_or(QueryError::Literal(text))?;
                literal(&timestamp::text(time_ms)).map(Some)
            }
            None => Ok(Some(format!("lake_to_timestamp({})", value.sql))),
        },
        (Kind::Timestamp, Kind::Date) => Ok(Some(format!("({} || ' 00:00:00.000')", value.sql))),
        (Kind::Date, Kind::Text) => Ok(Some(format!("lake_date({})", value.sql))),
        _ => Ok(None),
    }
}

fn comparable(left: Kind, right: Kind, operator: &str) -> Result<(), QueryError> {
    let family = |kind| match kind {
        Kind::Text => 1,
        Kind::Boolean => 2,
        Kind::Timestamp | Kind::Date => 3,
        Kind::Integer | Kind::Double => 4,
        Kind::Map | Kind::Array(_) | Kind::Struct(_) => 5,
        Kind::Interval => 6,
        Kind::Json | Kind::Unknown => 0,
    };
    let (one, two) = (family(left), family(right));
    // Times are compared with texts that say a time.
    if one == 0 || two == 0 || one == two || (one.min(two), one.max(two)) == (1, 3) {
        return Ok(());
    }
    Err(QueryError::Operator { left: kind_name(left), operator: operator.to_owned(), right: kind_name(right) })
}

/// Trino's name of a kind.
pub(crate) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "varchar",
        Kind::Boolean => "boolean",
        Kind::Timestamp => "timestamp",
        Kind::Date => "date",
        Kind::Integer => "bigint",
        Kind::Double => "double",
        Kind::Map => "map(varchar, varchar)",
        Kind::Array(_) => "array(row)",
        Kind::Struct(_) => "row",
        Kind::Json => "json",
        Kind::Interval => "interval",
        Kind::Unknown => "unknown",
    }
}

fn in_list(planner: &mut Planner<'_>, expr: &Expr, list: &[Expr], negated: bool, scope: &Scope) -> Translated {
    let value = translate(planner, expr, scope)?;
    let items = list.iter().map(|item| against(planner, value.kind, item, "IN", scope)).collect::<Result<Vec<_>, _>>()?;
    Ok(typed(format!("({} {}IN ({}))", value.sql, not(negated), items.join(", ")), Kind::Boolean))
}

fn case(
    planner: &mut Planner<'_>,
    operand: Option<&Expr>,
    conditions: &[sqlparser::ast::CaseWhen],
    otherwise: Option<&Expr>,
    scope: &Scope,
) -> Translated {
    let mut sql = "CASE".to_owned();
    let subject = operand.map(|operand| translate(planner, operand, scope)).transpose()?;
    if let Some(subject) = &subject {
        sql.push_str(&format!(" {}", subject.sql));
    }
    let mut kind = Kind::Unknown;
    let mut join = |found: Kind| {
        if kind == Kind::Unknown {
            kind = found;
        }
    };
    for branch in conditions {
        let condition = match &subject {
            Some(subject) => against(planner, subject.kind, &branch.condition, "=", scope)?,
            None => boolean(planner, &branch.condition, scope)?,
        };
        let result = translate(planner, &branch.result, scope)?;
        join(result.kind);
        sql.push_str(&format!(" WHEN {condition} THEN {}", result.sql));
    }
    if let Some(otherwise) = otherwise {
        let result = translate(planner, otherwise, scope)?;
        join(result.kind);
        sql.push_str(&format!(" ELSE {}", result.sql));
    }
    sql.push_str(" END");
    Ok(typed(sql, kind))
}

fn cast(planner: &mut Planner<'_>, expr: &Expr, data_type: &DataType, scope: &Scope) -> Translated {
    let value = translate(planner, expr, scope)?;
    let kind = match data_type {
        DataType::Varchar(_) | DataType::Char(_) | DataType::Text | DataType::String(_) => Kind::Text,
        DataType::BigInt(_) | DataType::Integer(_) | DataType::Int(_) | DataType::SmallInt(_) | DataType::TinyInt(_) => Kind::Integer,
        DataType::Double(_) | DataType::Real | DataType::Float(_) | DataType::Decimal(_) | DataType::DoublePrecision => Kind::Double,
        DataType::Boolean | DataType::Bool => Kind::Boolean,
        DataType::Timestamp(..) => Kind::Timestamp,
        DataType::Date => Kind::Date,
        DataType::JSON => Kind::Json,
        _ => return Err(QueryError::Unsupported("a cast to this type")),
    };
    let sql = match (value.kind, kind) {
        (Kind::Boolean, Kind::Text) => format!("CASE {} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END", value.sql),
        (_, Kind::Text) => format!("CAST({} AS TEXT)", value.sql),
        (_, Kind::Integer) => format!("lake_to_integer({})", value.sql),
        (_, Kind::Double) => format!("lake_to_double({})", value.sql),
        (_, Kind::Boolean) => format!("lake_to_boolean({})", value.sql),
        (_, Kind::Timestamp) => format!("lake_to_timestamp({})", value.sql),
        (_, Kind::Date) => format!("lake_date({})", value.sql),
        (Kind::Text, Kind::Json) => format!("json_quote({})", value.sql),
        _ => value.sql,
    };
    Ok(typed(sql, kind))
}

/// Times are in UTC; another zone would need its rules.
fn at_time_zone(planner: &mut Planner<'_>, value: &Expr, zone: &Expr, scope: &Scope) -> Translated {
    match text_of(zone).as_deref() {
        Some("UTC" | "utc" | "Z" | "GMT") => translate(planner, value, scope),
        _ => Err(QueryError::Unsupported("a time zone other than UTC")),
    }
}

fn extracted(field: &DateTimeField) -> Result<&'static str, QueryError> {
    use DateTimeField as F;
    Ok(match field {
        F::Year | F::Years => "year",
        F::Quarter => "quarter",
        F::Month | F::Months => "month",
        F::Week(_) | F::Weeks => "week",
        F::Day | F::Days => "day",
        F::Dow | F::DayOfWeek | F::Isodow => "day_of_week",
        F::Doy | F::DayOfYear => "day_of_year",
        F::Hour | F::Hours => "hour",
        F::Minute | F::Minutes => "minute",
        F::Second | F::Seconds => "second",
        F::Millisecond | F::Milliseconds => "millisecond",
        _ => return Err(QueryError::Unsupported("this part of a time")),
    })
}

fn now(planner: &Planner<'_>, date: bool) -> Typed {
    if date {
        typed(format!("'{}'", timestamp::date_text(planner.now_ms)), Kind::Date)
    } else {
        typed(format!("'{}'", timestamp::text(planner.now_ms)), Kind::Timestamp)
    }
}

fn text_argument(planner: &mut Planner<'_>, expr: &Expr, function: &str, scope: &Scope) -> Result<String, QueryError> {
    let value = translate(planner, expr, scope)?;
    match value.kind {
        Kind::Text | Kind::Json | Kind::Unknown => Ok(value.sql),
        other => Err(QueryError::Operator { left: kind_name(other), operator: function.to_owned(), right: "varchar" }),
    }
}

fn call_own(planner: &mut Planner<'_>, name: &'static str, arguments: &[&Expr], scope: &Scope) -> Translated {
    let arguments = arguments.iter().map(|argument| translate(planner, argument, scope)).collect::<Result<Vec<_>, _>>()?;
    let sql: Vec<&str> = arguments.iter().map(|argument| argument.sql.as_str()).collect();
    Ok(typed(format!("lake_{name}({})", sql.join(", ")), Kind::Integer))
}

/// A call, taken apart.
struct CallParts<'e> {
    name: String,
    arguments: Vec<&'e Expr>,
    star: bool,
    distinct: bool,
}

fn parts(function: &Function) -> Result<CallParts<'_>, QueryError> {
    let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else {
        return Err(QueryError::UnknownFunction(function.name.to_string()));
    };
    let name = name.value.to_ascii_lowercase();
    if function.uses_odbc_syntax
        || !matches!(function.parameters, FunctionArguments::None)
        || !function.within_group.is_empty()
        || function.null_treatment.is_some()
    {
        return Err(QueryError::Unsupported("this form of a call"));
    }
    let mut call = CallParts { name, arguments: Vec::new(), star: false, distinct: false };
    match &function.args {
        FunctionArguments::None => {}
        FunctionArguments::Subquery(_) => return Err(QueryError::Unsupported("a subquery as an argument")),
        FunctionArguments::List(list) => {
            if !list.clauses.is_empty() {
                return Err(QueryError::Unsupported("a clause among arguments"));
            }
            call.distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
            for argument in &list.args {
                match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => call.arguments.push(expr),
                    FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => call.star = true,
                    _ => return Err(QueryError::Unsupported("a named argument")),
                }
            }
        }
    }
    Ok(call)
}

fn call(planner: &mut Planner<'_>, function: &Function, scope: &Scope) -> Translated {
    let parts = parts(function)?;
    let known = function_list::find(&parts.name).ok_or_else(|| QueryError::UnknownFunction(parts.name.clone()))?;
    let (least, most) = known.arguments;
    if parts.arguments.len() < least || parts.arguments.len() > most || (parts.star && known.name != "count") {
        return Err(QueryError::ArgumentCount(parts.name));
    }
    let is_aggregate = matches!(known.form, Form::Aggregate(_) | Form::WrittenAggregate);
    if (parts.distinct || function.filter.is_some()) && !is_aggregate {
        return Err(QueryError::Argument { function: parts.name, problem: "DISTINCT and FILTER belong to aggregates" });
    }
    if function.over.is_some() && !is_aggregate && !matches!(known.form, Form::Window(_)) {
        return Err(QueryError::Unsupported("OVER behind this function"));
    }
    match known.form {
        Form::Written => return written(planner, &parts, scope),
        Form::Aggregate(_) | Form::WrittenAggregate => return aggregate(planner, function, &parts, known, scope),
        _ => {}
    }
    let arguments = parts.arguments.iter().map(|argument| translate(planner, argument, scope)).collect::<Result<Vec<_>, _>>()?;
    let kind = match known.gives {
        Gives::Kind(kind) => kind,
        Gives::First => arguments.first().map_or(Kind::Unknown, |argument| argument.kind),
        Gives::Second => arguments.get(1).map_or(Kind::Unknown, |argument| argument.kind),
    };
    let list = arguments.iter().map(|argument| argument.sql.as_str()).collect::<Vec<_>>().join(", ");
    match known.form {
        Form::Native(name) => Ok(typed(format!("{name}({list})"), kind)),
        Form::Window(name) => {
            let over = function.over.as_ref().ok_or(QueryError::Unsupported("a window function without OVER"))?;
            Ok(typed(format!("{name}({list}){}", window(planner, over, scope)?), kind))
        }
        _ => Ok(typed(format!("lake_{}({list})", known.name), kind)),
    }
}

fn window(planner: &mut Planner<'_>, over: &WindowType, scope: &Scope) -> Result<String, QueryError> {
    let WindowType::WindowSpec(WindowSpec { window_name: None, partition_by, order_by, window_frame: None }) = over else {
        return Err(QueryError::Unsupported("this window"));
    };
    let mut sql = String::new();
    if !partition_by.is_empty() {
        let parts = partition_by.iter().map(|expr| translate(planner, expr, scope).map(|part| part.sql)).collect::<Result<Vec<_>, _>>()?;
        sql.push_str(&format!("PARTITION BY {}", parts.join(", ")));
    }
    if !order_by.is_empty() {
        let mut parts = Vec::with_capacity(order_by.len());
        for order in order_by {
            let descending = matches!(order.options.sort, Some(sqlparser::ast::OrderBySort::Desc));
            let nulls = if order.options.nulls_first.unwrap_or(false) { "FIRST" } else { "LAST" };
            let text = translate(planner, &order.expr, scope)?.sql;
            parts.push(format!("{text} {} NULLS {nulls}", if descending { "DESC" } else { "ASC" }));
        }
        sql.push_str(&format!(" ORDER BY {}", parts.join(", ")));
    }
    Ok(format!(" OVER ({sql})"))
}

/// Functions that have no counterpart of the same form.
fn written(planner: &mut Planner<'_>, parts: &CallParts<'_>, scope: &Scope) -> Translated {
    let arguments = parts.arguments.as_slice();
    match (parts.name.as_str(), arguments) {
        ("now" | "current_timestamp", []) => Ok(now(planner, false)),
        ("current_date", []) => Ok(now(planner, true)),
        ("pi", []) => Ok(typed(format!("{:?}", std::f64::consts::PI), Kind::Double)),
        ("try", [inner]) => translate(planner, inner, scope),
        ("mod", [left, right]) => arithmetic(planner, left, &BinaryOperator::Modulo, right, scope),
        ("coalesce", _) => {
            let values = arguments.iter().map(|argument| translate(planner, argument, scope)).collect::<Result<Vec<_>, _>>()?;
            let kind = values.iter().map(|value| value.kind).find(|kind| *kind != Kind::Unknown).unwrap_or(Kind::Unknown);
            let sql: Vec<&str> = values.iter().map(|value| value.sql.as_str()).collect();
            Ok(typed(format!("coalesce({})", sql.join(", ")), kind))
        }
        ("concat", _) => {
            let sql = arguments.iter().map(|argument| text_argument(planner, argument, "concat", scope)).collect::<Result<Vec<_>, _>>()?;
            Ok(typed(format!("({})", sql.join(" || ")), Kind::Text))
        }
        ("replace", [text, search]) => {
            let (text, search) = (text_argument(planner, text, "replace", scope)?, text_argument(planner, search, "replace", scope)?);
            Ok(typed(format!("replace({text}, {search}, '')"), Kind::Text))
        }
        ("replace", [text, search, with]) => {
            let sql = [text, search, with].map(|argument| text_argument(planner, argument, "replace", scope));
            let sql = sql.into_iter().collect::<Result<Vec<_>, _>>()?;
            Ok(typed(format!("replace({})", sql.join(", ")), Kind::Text))
        }
        ("if", [condition, then, rest @ ..]) => {
            let condition = boolean(planner, condition, scope)?;
            let then = translate(planner, then, scope)?;
            let otherwise = rest.first().map(|otherwise| translate(planner, otherwise, scope)).transpose()?;
            let otherwise_sql = otherwise.as_ref().map_or("NULL", |otherwise| otherwise.sql.as_str());
            Ok(typed(format!("CASE WHEN {condition} THEN {} ELSE {otherwise_sql} END", then.sql), then.kind))
        }
        ("element_at", [container, key]) => element_of(planner, container, key, scope),
        ("json_extract" | "json_extract_scalar", [json, path]) => extract_json(planner, &parts.name, json, path, scope),
        _ => Err(QueryError::ArgumentCount(parts.name.clone())),
    }
}

/// A literal path into `eventjson` or a map is a column of its own: the whole JSON is then not kept.
fn extract_json(planner: &mut Planner<'_>, name: &str, json: &Expr, path: &Expr, scope: &Scope) -> Translated {
    let scalar = name == "json_extract_scalar";
    let kind = if scalar { Kind::Text } else { Kind::Json };
    if let Some(text) = text_of(path) {
        let steps = json_path(&text).ok_or(QueryError::Argument { function: name.to_owned(), problem: "the JSON path is not valid" })?;
        if let Some((store, PhysicalColumn { mut column, .. }, alias)) = physical(json, scope)
            && (column.steps.is_empty() || column.form == CellForm::Json)
        {
            planner.loose.push(column.name.clone());
            column.name = format!("{name}:{}:{text}", column.name);
            column.steps.extend(steps);
            column.form = if scalar { CellForm::Scalar } else { CellForm::Json };
            let column = planner.need(&store, column);
            return Ok(typed(format!("{alias}.{column}"), kind));
        }
    }
    let value = translate(planner, json, scope)?;
    let path = text_argument(planner, path, name, scope)?;
    Ok(typed(format!("lake_{name}({}, {path})", value.sql), kind))
}

fn aggregate(
    planner: &mut Planner<'_>,
    function: &Function,
    parts: &CallParts<'_>,
    known: &function_list::Function,
    scope: &Scope,
) -> Translated {
    if !planner.allows_aggregates {
        return Err(QueryError::MisplacedAggregate("WHERE, GROUP BY, a join or another aggregate"));
    }
    let loose = planner.loose.len();
    planner.allows_aggregates = false;
    let arguments = parts.arguments.iter().map(|argument| translate(planner, argument, scope)).collect::<Result<Vec<_>, _>>();
    let filter = function.filter.as_ref().map(|filter| boolean(planner, filter, scope)).transpose();
    planner.allows_aggregates = true;
    let (arguments, filter) = (arguments?, filter?);
    planner.loose.truncate(loose);
    let distinct = if parts.distinct { "DISTINCT " } else { "" };
    let first = arguments.first().map_or("*", |argument| argument.sql.as_str());
    let first_kind = arguments.first().map_or(Kind::Unknown, |argument| argument.kind);
    let (mut sql, kind) = match (known.form, known.name) {
        (Form::Aggregate("sum" | "avg"), name) if !matches!(first_kind, Kind::Integer | Kind::Double | Kind::Unknown) => {
            return Err(QueryError::Argument { function: name.to_owned(), problem: kind_name(first_kind) });
        }
        (Form::Aggregate(name), _) => {
            let kind = if let Gives::Kind(kind) = known.gives { kind } else { first_kind };
            (format!("{name}({distinct}{first})"), kind)
        }
        (_, "count") => (format!("count({distinct}{first})"), Kind::Integer),
        (_, "approx_distinct") => (format!("count(DISTINCT {first})"), Kind::Integer),
        (_, "count_if") => (format!("count(CASE WHEN {first} THEN 1 END)"), Kind::Integer),
        (_, "array_agg") => (format!("json_group_array({distinct}{first})"), Kind::Json),
        _ => return Err(QueryError::UnknownFunction(parts.name.clone())),
    };
    if let Some(filter) = filter {
        sql.push_str(&format!(" FILTER (WHERE {filter})"));
    }
    if let Some(over) = &function.over {
        sql.push_str(&window(planner, over, scope)?);
    } else {
        planner.aggregates += 1;
    }
    Ok(typed(sql, kind))
}
