#!/usr/bin/perl

# Every line of the manual pages that begins with "logmein" is run, as it stands there but
# for the words in capitals, the ports and the paths.

use strict;
use warnings;
use Cwd ();
use lib 't/lib';
use Run qw(has_terminal);
use Test::More;
use Test::Cpanel::LogMeIn;

my $site = Test::Cpanel::LogMeIn->new( accounts => { bob => 'secret' }, );
my $dir  = $site->dir;
my $top  = Cwd::getcwd();

# The command as it is installed, and a terminal whose keys are the standard input.
mkdir "$dir/bin" or die $!;
$site->write_file( "$dir/bin/logmein",
    "#!/bin/sh\nexec $^X -I$top/blib/arch -I$top/blib/lib $top/blib/script/logmein \"\$@\"\n" );
chmod oct 755, "$dir/bin/logmein" or die $!;
$site->write_file( "$dir/password", "secret\n" );
$site->write_file( "$dir/new.conf", "accounts = passwd\n" );

# A password, again and again, until nobody reads it any more: what is typed before the
# question is not taken.
my $TYPED = 'while sleep 0.3 && echo secret; do :; done 2>/dev/null';

# What stands for the words in capitals.
my $session;

my %WORD = (
    ADDRESS => sub { '192.0.2.7' },
    DIR     => sub { "$dir/backup" },
    FILE    => sub { "$dir/new.conf" },
    FILTERS => sub { '--user bob' },
    FROM    => sub { "lmdb:$dir/store" },
    ID      => sub {
        $session //= $site->redeem( ( $site->login( user => 'bob' ) )[2] );
        return $session->{id};
    },
    NAME    => sub { 'bob' },
    TO      => sub { "lmdb:$dir/other" },
    COMMAND => sub { 'login' },
);

# Statuses other than 0: 1, where there is nothing of the kind.
my %STATUS = (
    'logmein attempts clear --source ADDRESS'              => 1,
    'logmein attempts clear NAME [--source ADDRESS]'       => 1,
    'logmein key retire [--force]'                         => 1,
    'logmein session end --address 198.51.100.7 --dry-run' => 1,
);

# Those that other tests run, or that are no whole command.
my %ELSEWHERE = (
    'logmein serve --app panel.psgi'                                       => 't/serve.t',
    'logmein serve --front /run/logmein/front.sock --front-group www-data' => 'xt/front.t',
    'logmein serve --root /srv/panel --listen 192.0.2.1 --cert cert.pem --key key.pem' =>
        't/serve.t',
    'logmein doctor'                                                        => 't/doctor.t',
    'logmein doctor --config new.conf --host panel.example --cert cert.pem' => 't/doctor.t',
    'logmein COMMAND [WORD] [OPTIONS] [ARGUMENTS]'                          => 'this one',
    'logmein completion fish | source'                                      => 'xt/completion.t',
    'logmein store init [--admin URL]'                                      => 'xt/postgres.t',
    'logmein store init --admin postgresql://postgres@/logmein'             => 'xt/postgres.t',
    'logmein log tail [-n N] [-f] [--user U] [--address A] [--event E]'     => 't/command-log.t',
);

sub text_of {
    my ($path) = @_;
    open my $file, '<', $path or die "$path: $!";
    local $/ = undef;
    return readline $file;
}

# The lines of the pages, in the order in which they can be run.
my @FIRST = qw(account hash login session attempts config key log store completion);
my %lines;
for my $page ( 'bin/logmein', glob 'lib/Cpanel/LogMeIn/Command/*.pm' ) {
    my ($pod) = text_of($page) =~ /^__END__\n(.*)/ms or next;
    $lines{$_} //= keys %lines for $pod =~ /^ {4}(logmein .*\S)/mg;
}
cmp_ok( scalar keys %lines, '>', 40, 'lines of the manual' );
is_deeply( [ grep { !exists $lines{$_} } sort keys %STATUS, sort keys %ELSEWHERE ],
    [], 'each exception is in the manual' );

sub place_of {
    my ($line)    = @_;
    my ($command) = $line =~ /\Alogmein (\S+)/;
    my ($index)   = grep { $FIRST[$_] eq $command } 0 .. $#FIRST;
    my $late      = $line =~ /\b(?:end|remove|copy|retire)\b/ ? 1 : 0;
    return $line =~ /store copy/ ? 999 : 900 if $line =~ /account remove|store copy/;
    return ( $index // 50 ) * 10 + $late;
}

# Runs it in a shell, with a terminal; returns the status and what it printed.
sub run_line {
    my ($line)  = @_;
    my $command = $line =~ s/ \| --all//r =~ s/\Q...\E//r;
    $command =~ s/ \[--source ADDRESS\]//;
    $command =~ s/ \[--force\]// if $command =~ /retire/;
    $command =~ s/\[([^\]]*)\]/$1/g;
    $command =~ s/\b([A-Z]{2,})\b/$WORD{$1} ? $WORD{$1}->() : q{}/ge;
    local $ENV{PATH} = "$dir/bin:$ENV{PATH}";
    my $quoted = $command =~ s/'/'\\''/gr;
    my $keys = $command =~ /^logmein (?:hash|login|account (?:add|passwd))(?!.*<)/ ? $TYPED : q{:};
    my $out  = `( $keys ) | ( cd '$dir' && script -qec '$quoted' typed ) 2>&1`;
    return ( $? >> 8, $out, $command );
}

SKIP: {
    skip 'there is no terminal', 1 if !has_terminal();
    for my $line ( sort { place_of($a) <=> place_of($b) || $lines{$a} <=> $lines{$b} } keys %lines )
    {
        next if $ELSEWHERE{$line};
        my ( $status, $out, $command ) = run_line($line);
        is( $status, $STATUS{$line} // 0, $command ) or diag($out);
    }
}
done_testing;
