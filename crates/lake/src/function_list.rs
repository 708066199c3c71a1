//! The functions that a query may call.
//!
//! Source: CloudTrail User Guide, "CloudTrail Lake SQL constraints"; Trino documentation, "Functions and Operators".

use crate::schema::Kind;

/// What a function gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    Kind(Kind),
    /// The kind of its first argument.
    First,
    /// The kind of its second argument.
    Second,
}

/// How SQLite is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// SQLite has it under this name, with the same meaning.
    Native(&'static str),
    /// We have it: `function.rs`, under its own name with a prefix.
    Own,
    /// `expression.rs` writes it out.
    Written,
    /// An aggregate of SQLite.
    Aggregate(&'static str),
    /// An aggregate that `expression.rs` writes out.
    WrittenAggregate,
    /// Only with `OVER`.
    Window(&'static str),
}

/// A function: name, least and most arguments, what it gives, how it is run.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    pub name: &'static str,
    pub arguments: (usize, usize),
    pub gives: Gives,
    pub form: Form,
}

const fn of(name: &'static str, least: usize, most: usize, kind: Kind, form: Form) -> Function {
    Function { name, arguments: (least, most), gives: Gives::Kind(kind), form }
}

const fn like_first(name: &'static str, least: usize, most: usize, form: Form) -> Function {
    Function { name, arguments: (least, most), gives: Gives::First, form }
}

const MANY: usize = 32;

/// By name.
pub const FUNCTIONS: &[Function] = &[
    like_first("abs", 1, 1, Form::Native("abs")),
    like_first("any_value", 1, 1, Form::Aggregate("min")),
    of("approx_distinct", 1, 1, Kind::Integer, Form::WrittenAggregate),
    like_first("arbitrary", 1, 1, Form::Aggregate("min")),
    of("array_agg", 1, 1, Kind::Json, Form::WrittenAggregate),
    of("array_distinct", 1, 1, Kind::Json, Form::Own),
    of("array_except", 2, 2, Kind::Json, Form::Own),
    of("array_intersect", 2, 2, Kind::Json, Form::Own),
    of("array_join", 2, 3, Kind::Text, Form::Own),
    of("array_max", 1, 1, Kind::Text, Form::Own),
    of("array_min", 1, 1, Kind::Text, Form::Own),
    of("array_position", 2, 2, Kind::Integer, Form::Own),
    of("array_remove", 2, 2, Kind::Json, Form::Own),
    of("array_sort", 1, 1, Kind::Json, Form::Own),
    of("array_union", 2, 2, Kind::Json, Form::Own),
    of("arrays_overlap", 2, 2, Kind::Boolean, Form::Own),
    of("avg", 1, 1, Kind::Double, Form::Aggregate("avg")),
    of("bool_and", 1, 1, Kind::Boolean, Form::Aggregate("min")),
    of("bool_or", 1, 1, Kind::Boolean, Form::Aggregate("max")),
    of("cardinality", 1, 1, Kind::Integer, Form::Own),
    of("ceil", 1, 1, Kind::Integer, Form::Own),
    of("ceiling", 1, 1, Kind::Integer, Form::Own),
    of("chr", 1, 1, Kind::Text, Form::Native("char")),
    like_first("coalesce", 2, MANY, Form::Written),
    of("codepoint", 1, 1, Kind::Integer, Form::Native("unicode")),
    of("concat", 2, MANY, Kind::Text, Form::Written),
    of("contains", 2, 2, Kind::Boolean, Form::Own),
    of("count", 0, 1, Kind::Integer, Form::WrittenAggregate),
    of("count_if", 1, 1, Kind::Integer, Form::WrittenAggregate),
    of("current_date", 0, 0, Kind::Date, Form::Written),
    of("current_timestamp", 0, 0, Kind::Timestamp, Form::Written),
    of("date", 1, 1, Kind::Date, Form::Own),
    Function { name: "date_add", arguments: (3, 3), gives: Gives::Kind(Kind::Timestamp), form: Form::Own },
    of("date_diff", 3, 3, Kind::Integer, Form::Own),
    of("date_format", 2, 2, Kind::Text, Form::Own),
    of("date_parse", 2, 2, Kind::Timestamp, Form::Own),
    of("date_trunc", 2, 2, Kind::Timestamp, Form::Own),
    of("day", 1, 1, Kind::Integer, Form::Own),
    of("day_of_month", 1, 1, Kind::Integer, Form::Own),
    of("day_of_week", 1, 1, Kind::Integer, Form::Own),
    of("day_of_year", 1, 1, Kind::Integer, Form::Own),
    of("dense_rank", 0, 0, Kind::Integer, Form::Window("dense_rank")),
    of("dow", 1, 1, Kind::Integer, Form::Own),
    of("doy", 1, 1, Kind::Integer, Form::Own),
    of("element_at", 2, 2, Kind::Text, Form::Written),
    of("every", 1, 1, Kind::Boolean, Form::Aggregate("min")),
    of("exp", 1, 1, Kind::Double, Form::Own),
    like_first("first_value", 1, 1, Form::Window("first_value")),
    of("floor", 1, 1, Kind::Integer, Form::Own),
    of("from_iso8601_date", 1, 1, Kind::Date, Form::Own),
    of("from_iso8601_timestamp", 1, 1, Kind::Timestamp, Form::Own),
    of("from_unixtime", 1, 1, Kind::Timestamp, Form::Own),
    like_first("greatest", 2, MANY, Form::Native("max")),
    of("hour", 1, 1, Kind::Integer, Form::Own),
    Function { name: "if", arguments: (2, 3), gives: Gives::Second, form: Form::Written },
    of("is_json_scalar", 1, 1, Kind::Boolean, Form::Own),
    of("json_array_contains", 2, 2, Kind::Boolean, Form::Own),
    of("json_array_get", 2, 2, Kind::Json, Form::Own),
    of("json_array_length", 1, 1, Kind::Integer, Form::Own),
    of("json_extract", 2, 2, Kind::Json, Form::Written),
    of("json_extract_scalar", 2, 2, Kind::Text, Form::Written),
    of("json_format", 1, 1, Kind::Text, Form::Own),
    of("json_parse", 1, 1, Kind::Json, Form::Own),
    of("json_size", 2, 2, Kind::Integer, Form::Own),
    like_first("lag", 1, 3, Form::Window("lag")),
    of("last_day_of_month", 1, 1, Kind::Date, Form::Own),
    like_first("last_value", 1, 1, Form::Window("last_value")),
    like_first("lead", 1, 3, Form::Window("lead")),
    like_first("least", 2, MANY, Form::Native("min")),
    of("length", 1, 1, Kind::Integer, Form::Native("length")),
    of("ln", 1, 1, Kind::Double, Form::Own),
    of("log10", 1, 1, Kind::Double, Form::Own),
    of("log2", 1, 1, Kind::Double, Form::Own),
    of("lower", 1, 1, Kind::Text, Form::Own),
    of("lpad", 3, 3, Kind::Text, Form::Own),
    of("ltrim", 1, 1, Kind::Text, Form::Native("ltrim")),
    of("map_keys", 1, 1, Kind::Json, Form::Own),
    of("map_values", 1, 1, Kind::Json, Form::Own),
    like_first("max", 1, 1, Form::Aggregate("max")),
    of("millisecond", 1, 1, Kind::Integer, Form::Own),
    like_first("min", 1, 1, Form::Aggregate("min")),
    of("minute", 1, 1, Kind::Integer, Form::Own),
    like_first("mod", 2, 2, Form::Written),
    of("month", 1, 1, Kind::Integer, Form::Own),
    of("now", 0, 0, Kind::Timestamp, Form::Written),
    of("ntile", 1, 1, Kind::Integer, Form::Window("ntile")),
    like_first("nullif", 2, 2, Form::Native("nullif")),
    of("pi", 0, 0, Kind::Double, Form::Written),
    of("pow", 2, 2, Kind::Double, Form::Own),
    of("power", 2, 2, Kind::Double, Form::Own),
    of("quarter", 1, 1, Kind::Integer, Form::Own),
    of("rank", 0, 0, Kind::Integer, Form::Window("rank")),
    of("regexp_extract", 2, 3, Kind::Text, Form::Own),
    of("regexp_like", 2, 2, Kind::Boolean, Form::Own),
    of("regexp_replace", 2, 3, Kind::Text, Form::Own),
    of("replace", 2, 3, Kind::Text, Form::Written),
    of("reverse", 1, 1, Kind::Text, Form::Own),
    like_first("round", 1, 2, Form::Native("round")),
    of("row_number", 0, 0, Kind::Integer, Form::Window("row_number")),
    of("rpad", 3, 3, Kind::Text, Form::Own),
    of("rtrim", 1, 1, Kind::Text, Form::Native("rtrim")),
    of("second", 1, 1, Kind::Integer, Form::Own),
    of("sign", 1, 1, Kind::Integer, Form::Native("sign")),
    of("slice", 3, 3, Kind::Json, Form::Own),
    of("split", 2, 3, Kind::Json, Form::Own),
    of("split_part", 3, 3, Kind::Text, Form::Own),
    of("sqrt", 1, 1, Kind::Double, Form::Own),
    of("starts_with", 2, 2, Kind::Boolean, Form::Own),
    of("strpos", 2, 2, Kind::Integer, Form::Native("instr")),
    of("substr", 2, 3, Kind::Text, Form::Native("substr")),
    of("substring", 2, 3, Kind::Text, Form::Native("substr")),
    like_first("sum", 1, 1, Form::Aggregate("sum")),
    of("to_iso8601", 1, 1, Kind::Text, Form::Own),
    of("to_unixtime", 1, 1, Kind::Double, Form::Own),
    of("trim", 1, 1, Kind::Text, Form::Native("trim")),
    like_first("try", 1, 1, Form::Written),
    of("upper", 1, 1, Kind::Text, Form::Own),
    of("url_extract_host", 1, 1, Kind::Text, Form::Own),
    of("week", 1, 1, Kind::Integer, Form::Own),
    of("week_of_year", 1, 1, Kind::Integer, Form::Own),
    of("year", 1, 1, Kind::Integer, Form::Own),
    of("year_of_week", 1, 1, Kind::Integer, Form::Own),
];

/// The function of this name.
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok().and_then(|at| FUNCTIONS.get(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order() {
        assert!(FUNCTIONS.is_sorted_by(|left, right| left.name < right.name));
        assert!(find("element_at").is_some() && find("load_extension").is_none());
    }
}
