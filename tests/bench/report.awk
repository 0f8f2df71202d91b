# Reads "figure TAB subject TAB value" lines, sorted by all three, and prints the table of
# medians and zei's figures against its goals. `subjects` are the columns.

BEGIN {
    FS = "\t"
    columns = split(subjects, column, " ")
    row("start-1", "start, N=1, ms")
    row("start-100", "start, N=100, ms")
    row("start-1000", "start, N=1000, ms")
    row("uss-100", "private memory of a supervisor, kB")
    row("pss-100", "PSS of a supervisor, kB")
    row("pte-100", "page tables of a supervisor, kB")
    row("uss-more", "private memory, all, per service, kB")
    row("pte-more", "page tables, all, per service, kB")
    row("restart-100", "restart after kill -9, ms")
    row("exec-100", "exec+exit of an empty program, ms")
    row("status-100", "status of one, ms")
    row("list-100", "list of 100, ms")
    row("restart-wait-100", "restart and wait, ms")
    row("shutdown-100", "shutdown, N=100, ms")
    row("tail-100", "end after the last service, N=100, ms")
    row("idle-100", "idle, N=100, switches")
    row("reap", "reaping, us of PID 1 per orphan")
}

function row(key, title) {
    rows++
    keys[rows] = key
    titles[rows] = title
}

function finish(    middle) {
    if (count == 0)
        return
    middle = int((count + 1) / 2)
    medians[current] = count % 2 ? value[middle] : (value[middle] + value[middle + 1]) / 2
    lowest[current] = value[1]
    count = 0
}

{
    if ($1 SUBSEP $2 != current) {
        finish()
        current = $1 SUBSEP $2
    }
    value[++count] = $3
}

function shown(number) {
    # Noise below nothing, in what was taken as a difference.
    if (number < 0)
        number = 0
    return number >= 100 ? sprintf("%.0f", number) : number >= 10 ? sprintf("%.1f", number) : sprintf("%.2f", number)
}

# What 90 more services cost all supervising processes together, PID 1 included; what is
# shared by all is in both figures and drops out.
function more(figure,    i) {
    for (i = 1; i <= columns; i++)
        if ((figure "-all-100", column[i]) in medians && (figure "-all-10", column[i]) in medians)
            medians[figure "-more", column[i]] = \
                (medians[figure "-all-100", column[i]] - medians[figure "-all-10", column[i]]) / 90
}

# A goal: zei's figure over `base` (a subject, or "" for a plain number) is at most `most`.
# What counts is the median; the lowest samples (over the lowest) tell what others' work on
# the machine has added to it.
function goal(key, title, base, most,    figure, best) {
    if (!((key, "zei") in medians) || (base != "" && !((key, base) in medians)))
        return
    if (!goals++)
        printf "\n%-38s %10s %10s %10s\n", "zei against its goals", "goal", "median", "lowest"
    figure = medians[key, "zei"]
    best = (key, "zei") in lowest ? lowest[key, "zei"] : figure
    if (base != "") {
        figure = ratio(figure, medians[key, base])
        best = ratio(best, lowest[key, base])
    }
    printf "%-38s %10s %10s %10s  %s\n", title, shown(most), shown(figure), \
        shown(best), figure <= most ? "met" : "NOT MET"
}

function ratio(a, b) {
    return b > 0 ? a / b : 0
}

END {
    finish()
    more("uss")
    more("pte")
    printf "\n%-38s", "medians"
    for (i = 1; i <= columns; i++)
        printf " %10s", column[i]
    printf "\n"
    for (r = 1; r <= rows; r++) {
        line = ""
        any = 0
        for (i = 1; i <= columns; i++) {
            if ((keys[r], column[i]) in medians) {
                any = 1
                line = line sprintf(" %10s", shown(medians[keys[r], column[i]]))
            } else
                line = line sprintf(" %10s", "-")
        }
        if (any)
            printf "%-38s%s\n", titles[r], line
    }
    goal("start-100", "start, N=100, times floor2", "floor2", 1.25)
    goal("start-1000", "start, N=1000, times floor2", "floor2", 1.25)
    goal("restart-100", "restart after kill -9, times floor2", "floor2", 1.3)
    goal("uss-100", "private memory of a supervisor, kB", "", 21)
    goal("uss-more", "private memory, all, per service, kB", "", 21)
    goal("pte-100", "page tables of a supervisor, kB", "", 24)
    goal("status-100", "status of one, ms", "", 0.6)
    goal("list-100", "list of 100, ms", "", 1.5)
    goal("restart-wait-100", "restart and wait, ms", "", 4)
    goal("shutdown-100", "shutdown, times floor2", "floor2", 1.5)
    goal("tail-100", "end after the last service, ms", "", 50)
    goal("idle-100", "idle, switches", "", 0)
}
