#!/usr/bin/perl

# What make rebuilds, and what packagers need. With XT_LONG=1 more headers are
# touched, a release runs all of its tests, and each optional library is left out
# of a build of its own.

use strict;
use warnings;
use File::Basename qw(basename);
use File::Find     qw(find);
use File::Temp     qw(tempdir);
use Test::More;
use lib 'xt/lib';
use Author qw(built_clone clone perl_files read_file run tracked);

my $folder = built_clone();

# The objects of a build with their modification times, in nanoseconds.
sub objects {
    my %time;
    for my $object ( glob("$folder/csrc/*/*.o"), map { "$folder/$_.o" } qw(LogMeIn Remote) ) {
        ( $time{ basename($object) } ) = ( run( '.', "stat -c %.Y '$object'" ) )[1] =~ /(\S+)/;
    }
    return %time;
}

# Which files include the header, directly or through another one.
sub includers {
    my ($header) = @_;
    my %includes = map {
        basename($_) => { map { basename($_) => 1 } read_file($_) =~ /#include "([^"]+)"/g }
        } glob("$folder/csrc/*.h $folder/csrc/*/*.[ch]"),
        map { "$folder/$_" } qw(LogMeIn.xs Remote.xs remote_login.h);
    my %reached = ( $header => 1 );
    my $before  = 0;
    while ( keys %reached > $before ) {
        $before = keys %reached;
        for my $file ( keys %includes ) {
            $reached{$file} = 1 if grep { $reached{$_} } keys %{ $includes{$file} };
        }
    }
    my @objects = map { s/[.](?:c|xs)\z/.o/r } grep { /[.](?:c|xs)\z/ } keys %reached;
    @objects = sort @objects;
    return @objects;
}

# Programs that no other test runs.
sub complaint_about {
    my ($program) = @_;
    my ( $status, $out ) = run( $folder, "perl -Mblib -Ibench -It/lib -Ixt/lib -c $program" );
    return $status == 0 ? q{} : $out;
}
my @programs = grep { m{\Abench/} } perl_files();
cmp_ok( scalar @programs, '>', 5, 'the programs of bench are found' );
is( complaint_about($_), q{}, "$_ compiles" ) for @programs, 'xt/long/mutants';
run( $folder, q{echo 'use strict; print @nobody;' >bench/bad.pl} );
like( complaint_about('bench/bad.pl'), qr/\@nobody/, 'control: one that does not compile' );

my ( $status, $out ) = run( $folder, q{make -s -C bench WARNINGS='-Wall -Wextra -Werror'} );
is( $status, 0, 'the C programs of bench compile without a warning' ) or diag($out);

( $status, $out ) = run( $folder, 'make' );
unlike( $out, qr/\bcc\b|-c -o/, 'a second make compiles nothing' );

for my $header ( qw(accounts/shadow.h remote/wire.h),
    $ENV{XT_LONG} ? qw(sessions/record.h logmein.h) : () )
{
    my %before = objects();
    run( $folder, "sleep 0.1; touch csrc/$header" );
    ( $status, $out ) = run( $folder, 'make -j2' );
    is( $status, 0, "make after touching $header" ) or diag($out);
    my %after   = objects();
    my @rebuilt = sort grep { $before{$_} ne $after{$_} } keys %after;
    is_deeply(
        \@rebuilt,
        [ includers( basename($header) ) ],
        "... rebuilds what includes it: @rebuilt"
    );
}
my @few = includers('shadow.h');
my @all = glob "$folder/csrc/*/*.c";
cmp_ok( @few + 0, '<', @all + 0, 'control: not every header is included everywhere' );

# A test program is rebuilt after a change of a header, too.
run( $folder, 'sleep 0.1; touch t/core/tap.h' );
( undef, $out ) = run( $folder, 'make' );
like( $out, qr{-o \S+/core/text\b}, 'a touched test header rebuilds the C tests' );

# Flags from outside reach every compilation.
my $flagged = clone();
( $status, $out ) =
    run( $flagged,
    q{perl Makefile.PL OPTIMIZE='-O1 -DFROM_OUTSIDE' && make -j2 && prove -b t/call.t} );
is( $status, 0, 'a build with OPTIMIZE of its own works' ) or diag($out);
my @compilations = $out =~ /^(?:\S*gcc|\S*cc|\S*clang)\b.* -c .*$/mg;
cmp_ok( scalar @compilations, '>', 20, 'its compilations are seen' );
is( scalar( grep { !/-DFROM_OUTSIDE/ } @compilations ), 0, '... and each has the flag' );

# Installing.
my $destination = tempdir( CLEANUP => 1 );
( $status, $out ) = run( $folder, "make install DESTDIR='$destination'" );
is( $status, 0, 'make install DESTDIR=' ) or diag($out);
my @installed;
find( sub { push @installed, $_ if -f }, $destination );
is_deeply(
    [ sort grep { !/[.](?:[13578](?:p\w*)?|packlist)\z|\Aperllocal/ } @installed ],
    [
        sort qw(LogMeIn.so Remote.so logmein-postgres.so logmein logmeind),
        map { s{.*/}{}r } tracked(qr{\Alib/})
    ],
    '... installs the modules, the objects and the command'
);
ok( ( grep { /\ACpanel::LogMeIn[.]3/ } @installed ), '... and the manual' );
ok( ( grep { $_ eq 'logmein.conf.5' } @installed ),  '... its page of the settings' );
ok( ( grep { $_ eq 'logmein-serve.8' } @installed ), '... and those of the commands' );
my ($module) =
    split /\n/,
    ( run( $destination, q{find "$PWD" -path '*/Cpanel/LogMeIn.pm' ! -path '*/Test/*'} ) )[1];
my $lib = $module =~ s{/Cpanel/LogMeIn[.]pm\z}{}r;
is( ( run( '/', "perl -I'$lib' -MCpanel::LogMeIn -e 'print q(loaded)'" ) )[1],
    'loaded', '... that load from there' );

# A release.
( $status, $out ) = run( $folder, 'make dist' );
is( $status, 0, 'make dist' ) or diag($out);
my ($archive) = glob "$folder/Cpanel-LogMeIn-*.tar.gz";
my %listed = map { s{\A[^/]+/}{}r => 1 } split /\n/, ( run( '.', "tar tzf '$archive'" ) )[1];
ok( $listed{$_}, "... holds $_" )
    for
    qw(Makefile.PL README LICENSE Changes LogMeIn.xs Remote.xs remote_login.h typemap META.json MANIFEST
    csrc/login/login.c csrc/logmein.h csrc/Makefile lib/Cpanel/LogMeIn.pm t/call.t lib/Test/Cpanel/LogMeIn.pm
    t/session.t
    t/core/store.c examples/quickstart debian/control xt/build.t bench/run);
is_deeply( [ grep { m{[.](?:o|a|d)\z|\Ablib|\A[.]git/} } keys %listed ],
    [], '... and nothing that a build leaves' );
my ( undef, $meta ) = run( '.', "tar xzOf '$archive' --wildcards '*/META.json'" );
like( $meta, qr/"license" : \[\s*"mit"\s*\]/,        'META: the licence' );
like( $meta, qr/"meta-spec" : \{[^}]*"version" : 2/, 'META: version 2' );
like( $meta, qr/"recommends" : \{[^}]*"Test::More"/, 'META: what the helper wants' );
like( $meta, qr/"bugtracker".*"repository"/s,        'META: where to turn to' );
my @left_out = map { qr/$_/ } grep { /\A[^#]/ } split /\n/, read_file('MANIFEST.SKIP');
my @lacking  = grep {
    my $file = $_;
    !$listed{$file} && !grep { $file =~ $_ } @left_out
} tracked(qr/./);
is_deeply( \@lacking, [], '... and lacks nothing, so that its tests are those of the checkout' );
my $some = $ENV{XT_LONG} ? q{} : q{TEST_FILES='t/call.t t/session.t'};
( $status, $out ) = run( $folder, "make disttest $some" );
is( $status, 0, 'make disttest' ) or diag( substr $out, -2000 );

# Missing libraries are reported with the name of their package.
my $bare = clone();
for my $case (
    [ LMDB   => 'LMDB',     'liblmdb-dev' ],
    [ CRYPTO => 'OpenSSL',  'libssl-dev' ],
    [ CRYPT  => 'libcrypt', 'libcrypt-dev' ],
    )
{
    my ( $env, $name, $package ) = @{$case};
    local $ENV{"${env}_LIBS"}   = '-lnowhere';
    local $ENV{"${env}_CFLAGS"} = ' ';
    ( $status, $out ) = run( $bare, 'perl Makefile.PL' );
    like( $out, qr/$name.* is missing.* install \Q$package\E /s, "without $name: a sentence" );
    is( $status, 0, '... which is no failure of ours' );
    ok( !-e "$bare/Makefile", '... and no Makefile' );
}
( $status, $out ) = run( $bare, 'perl Makefile.PL' );
ok( $status == 0 && -e "$bare/Makefile", 'control: with all of them, one' ) or diag($out);

# Without the optional libraries, the module reports them when they are needed.
my $built = 0;
for my $case ( [ CURL => 'libcurl4-openssl-dev' ], [ JANSSON => 'libjansson-dev' ] ) {
    my ( $env, $package ) = @{$case};
    local @ENV{ "${env}_LIBS",   'LIBPQ_LIBS' }   = ('-lnowhere') x 2;
    local @ENV{ "${env}_CFLAGS", 'LIBPQ_CFLAGS' } = (' ') x 2;
    delete local $ENV{CI};
    my $without = clone();
    ( $status, $out ) = run( $without, 'perl Makefile.PL' );
    like( $out, qr/will not be possible.*install \Q$package\E /s, "without $package: a sentence" );
    like(
        $out,
        qr/PostgreSQL will not be possible.*install libpq-dev /s,
        '... one without libpq-dev'
    );
    next if $built++ && !$ENV{XT_LONG};    # it is the same one for each
    ( $status, $out ) = run( $without, 'make -j2 && prove -bj2 t/call.t t/hosts.t t/remote-*.t' );
    is( $status, 0, '... and a build whose tests pass, or are skipped' ) or diag($out);
    like( $out, qr/skipped: built without libcurl/, '... with the reason' );
    my $login = q{Cpanel::LogMeIn::get_loggedin_url( user => 'a', pass => 'b', service => 'whm',}
        . q{ hostname => 'panel.invalid' )};
    ( undef, $out ) = run( $without,
        qq{LOGMEIN_CONF= perl -Mblib -MCpanel::LogMeIn -e "print +($login)[1], q{ }, \\\$Cpanel::LogMeIn::detail"}
    );
    like(
        $out,
        qr/\(LIBRARY\)[.] .*libcurl4-openssl-dev and libjansson-dev/s,
        '... and a remote login that names what is missing'
    );
    ( $status, $out ) = run( $without,
              'echo store = postgresql://logmein@/logmein >database.conf'
            . ' && perl -Mblib blib/script/logmein session list --config database.conf' );
    like( $out, qr/logmein-postgres[.]so.*install libpq-dev/s, '... and so does a store there' );
}

# Objects export their boot function only, and the second one contains no store.
for my $object (qw(LogMeIn/LogMeIn LogMeIn/Remote/Remote)) {
    my $file = "$folder/blib/arch/auto/Cpanel/$object.so";
    ( undef, $out ) = run( '.', "nm -D --defined-only '$file'" );
    my @shown = $out =~ /^[0-9a-f]+ \w (\w+)$/mg;
    is( scalar( grep { !/\Aboot_/ } @shown ), 0, "$object.so shows its boot function only" );
    is( scalar @shown,                        1, '... which it has' );
}
( undef, $out ) =
    run( '.', "nm -D --defined-only '$folder/blib/arch/auto/Cpanel/LogMeIn/logmein-postgres.so'" );
is_deeply( [ $out =~ /^[0-9a-f]+ \w (\w+)$/mg ],
    ['lmi_store_postgres'], 'logmein-postgres.so shows its backend only' );
for my $program ( 'arch/auto/Cpanel/LogMeIn/LogMeIn.so', 'bin/logmeind' ) {
    ( undef, $out ) = run( '.', "ldd '$folder/blib/$program'" );
    unlike( $out, qr/libpq/, "$program does not load libpq" );
}
( undef, $out ) = run( '.', "nm '$folder/blib/arch/auto/Cpanel/LogMeIn/Remote/Remote.so'" );
unlike( $out, qr/ (?:mdb_|lmi_store)/, 'Remote.so has no store' );
like( $out, qr/lmi_remote_login/, 'control: its symbols are seen' );
done_testing();
