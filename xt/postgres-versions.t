#!/usr/bin/perl

# Programs of two versions on one store in PostgreSQL: this one, and a later one that has
# prepared the database for itself. And a database that lacks what this one calls.

use strict;
use warnings;
use blib;
use lib      qw(t/lib xt/lib);
use Database ();
use POSIX    ();
use Run      qw(answers);
use Test::More;
use Test::Cpanel::LogMeIn;
use Cpanel::LogMeIn::Command ();

plan skip_all => $_ for Database::lacks();

my $server = Database->new;
my ( $site, $name ) = $server->site;
my $admin = $server->url( $name, 'postgres' );

# A login whose ticket opens a session: nothing if it does, or why not.
sub why_not {
    my ( $ok, undef, $url ) = $site->login;
    return $Cpanel::LogMeIn::detail if !$ok;
    return $site->redeem($url) ? q{} : "not redeemed: $Cpanel::LogMeIn::detail";
}

# The functions of the store: their texts, by their names.
sub functions {
    my $session = $server->session($name);
    my @names   = split /\n/, $session->(<<'SQL')->();
SELECT proname FROM pg_proc WHERE pronamespace = 'logmein'::regnamespace
SQL
    return map { $_ => $session->("SELECT pg_get_functiondef('logmein.$_'::regproc)")->() } @names;
}

# Which version of it the schema is.
sub version {
    my ($text)   = $server->sql( $name, q{SELECT obj_description('logmein'::regnamespace)} );
    my ($number) = $text =~ /schema (\d+)$/ or die "no version: $text";
    return $number;
}
my $version = version();
my $later   = $version + 1;

# The server process of the connection that this process keeps.
sub connection {
    return $server->sql( 'postgres',
        q{SELECT pid FROM pg_stat_activity WHERE usename = 'logmein'} );
}

is( why_not(), q{}, 'a handle is open' );
my $before = connection();
like( $before, qr/\A\d+\n\z/, '... which keeps one connection' );

# What the next version's init might do: a column more, functions that use it, and a
# body of its own where both versions call a function.
my %own  = functions();
my $next = $server->session($name);
$next->('BEGIN')->();
$next->('ALTER TABLE logmein.entry ADD COLUMN made bigint NOT NULL DEFAULT 7')->();
for my $function ( sort grep { /_v1\z/ } keys %own ) {
    $next->( $own{$function} =~ s/\b$function\b/$function =~ s{1\z}{2}r/ger )->();
}
$next->( $own{lmi_remove} =~ s/BEGIN/BEGIN -- of the next version/r )->();
$next->(q{SELECT logmein.lmi_admit('logmein', NULL)})->();
$next->("COMMENT ON SCHEMA logmein IS 'Sessions of Cpanel::LogMeIn, schema $later'")->();
$next->('COMMIT')->();
my %next = functions();
is(
    scalar( grep { /_v2\z/ } keys %next ),
    scalar( grep { /_v1\z/ } keys %own ),
    'the next version prepares the database'
);

is( why_not(),    q{},     '... the open handle works on' );
is( connection(), $before, '... by the same connection' );
answers( 0, qr/alice/, 'a new process works, too', qw(session list) );
is( $server->sql( $name, 'SELECT DISTINCT made FROM logmein.entry' ),
    "7\n", '... and leaves the new column to its default' );
ok( eval { $server->sql( $name, 'SET ROLE logmein; SELECT * FROM logmein.lmi_hello_v2()' ); },
    'the store\'s user may call the new functions' );

# This version's init afterwards
answers( 0, qr/The store is ready/, 'init by this version', qw(store init --admin), $admin );
is_deeply( { functions() }, \%next, '... leaves all functions as they are' );
is( $server->sql( $name, 'SELECT DISTINCT made FROM logmein.entry' ),
    "7\n", '... and the new column' );
is( why_not(), q{}, '... and the store works' );
my $other = $server->url( $name, 'another' );
$site->settings( store => $other );
answers( 3, qr/role "another" does not exist/, 'another user', qw(session list) );
answers( 0, qr/The store is ready/, '... that init makes',   qw(store init --admin), $admin );
answers( 0, qr/alice/,              '... may use the store', qw(session list) );
ok( eval { $server->sql( $name, 'SET ROLE another; SELECT * FROM logmein.lmi_hello_v2()' ); },
    '... by the functions of both' );
$site->settings( store => $server->url( $name, 'logmein' ) );

# Control: where this version was the last, its init repairs.
$server->sql( $name,
    "COMMENT ON SCHEMA logmein IS 'Sessions of Cpanel::LogMeIn, schema $version'" );
answers(
    0,
    qr/The store is ready/,
    'control: init of a store of this version',
    qw(store init --admin), $admin
);
my %last = functions();
is( $last{lmi_remove}, $own{lmi_remove}, '... puts this version\'s functions there' );
is_deeply(
    { map { /_v2\z/ ? ( $_ => $last{$_} ) : () } keys %last },
    { map { /_v2\z/ ? ( $_ => $next{$_} ) : () } keys %next },
    '... and leaves the others'
);

# What this version calls is missing.
for my $function ( sort grep { /_v1\z/ } keys %own ) {
    my ($call) = $function =~ /\Almi_(.*)_v1\z/;
    next if $call !~ /\A(?:get|apply|hello)\z/;
    is( why_not(), q{}, "$call: the handle works" );
    $server->sql( $name, "DROP FUNCTION logmein.$function" );
    if ( $call eq 'hello' ) {
        $server->sql( 'postgres', <<'SQL' );
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'logmein'
SQL
    }
    like(
        why_not(),
        qr/$function.* holds no store of this version \(run logmein store init\)/s,
        '... and says what is missing, and what to do'
    );
    answers( 0, qr/The store is ready/, '... init', qw(store init --admin), $admin );
    is( why_not(), q{}, '... and the same handle works again' );
}
$server->sql( $name, 'SET client_min_messages = error; DROP SCHEMA logmein CASCADE' );
like( why_not(), qr/holds no store of this version/, 'everything is missing' );
answers( 0, qr/The store is ready/, '... init', qw(store init --admin), $admin );
is( why_not(), q{}, '... and the same handle works again' );

# A schema that somebody has put there, to have its functions run by who prepares the store
{
    my ( $url, $by ) = $server->database;
    my ($there) = $url =~ m{/(\w+)[?]};
    $site->settings( store => $url );
    $server->sql( $there, <<"SQL" );
CREATE ROLE mallory LOGIN; GRANT CREATE ON DATABASE $there TO mallory; SET ROLE mallory;
CREATE SCHEMA logmein; COMMENT ON SCHEMA logmein IS 'Sessions of Cpanel::LogMeIn, schema 9';
CREATE FUNCTION logmein.lmi_admit(role text, verifier text) RETURNS void
LANGUAGE plpgsql AS \$\$ BEGIN ALTER ROLE mallory SUPERUSER; END \$\$;
SQL
    my $super = q{SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'};
    answers(
        3,
        qr/the schema logmein belongs to another user.* can't be prepared/,
        'a schema of another user',
        qw(store init --admin), $by
    );
    is( $server->sql( $there, $super ), "f\n", '... whose functions are not called' );
    $server->sql( $there, 'ALTER SCHEMA logmein OWNER TO postgres' );
    answers( 0, qr/ready/, 'control: one of its own', qw(store init --admin), $by );
    is( $server->sql( $there, $super ), "t\n", '... whose functions are' );
}

# Several at once
sub init_by {
    my ($url) = @_;
    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    open STDOUT, '>', '/dev/null' or POSIX::_exit(9);
    return POSIX::_exit( Cpanel::LogMeIn::Command->main( qw(store init --admin), $url ) );
}
my ( $empty, $by ) = $server->database;
$site->settings( store => $empty );
for my $what ( 'of an empty database', 'of a store' ) {
    my @pids   = map { init_by($by) } 1 .. 6;
    my $failed = 0;
    for my $pid (@pids) {
        waitpid $pid, 0;
        $failed++ if $? != 0;
    }
    is( $failed, 0, "six inits at once $what" );
}
is( why_not(), q{}, '... after which it works' );
done_testing();
