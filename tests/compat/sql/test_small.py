"""What clients are told of parameters that change."""


def expect(found, expected):
    if found != expected:
        raise AssertionError(f"{found!r:.400} instead of {expected!r:.400}")


def clients_are_told_of_parameters_that_change(sql):
    connection = sql.connect()
    cursor = connection.cursor()
    told = connection.get_parameter_status
    expect(told("in_hot_standby"), "off")
    cursor.execute("SET TimeZone = 'Europe/Berlin'")
    expect(told("TimeZone"), "Europe/Berlin")
    cursor.execute("SELECT set_config('DateStyle', 'German', false)")
    expect(told("DateStyle"), "German, DMY")
    connection.rollback()
    cursor.execute("SELECT 1")
    expect((told("TimeZone"), told("DateStyle")), ("UTC", "ISO, MDY"))
    cursor.execute("SET LOCAL IntervalStyle = 'iso_8601'")
    expect(told("IntervalStyle"), "iso_8601")
    connection.commit()
    expect(told("IntervalStyle"), "postgres")
    cursor.execute("SET application_name = 'this'")
    expect(told("application_name"), "this")
    cursor.execute("RESET ALL")
    expect(told("application_name"), "")
    connection.close()


CASES = [clients_are_told_of_parameters_that_change]
