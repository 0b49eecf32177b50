#!/usr/bin/perl

# Ten thousand damaged shadow files: a login is good only if the account's own line
# is whole and there once; damage elsewhere refuses nobody; and what refuses because
# of a line names it.

use strict;
use warnings;
use blib;
use lib 't/lib';
use Test::More;

BEGIN { $ENV{TMPDIR} = '/dev/shm' if -w '/dev/shm' }  ## no critic (RequireLocalizedPunctuationVars)
use Test::Cpanel::LogMeIn;

my $COUNT = $ENV{LOGMEIN_FILES} || 10_000;
my $site  = Test::Cpanel::LogMeIn->new(
    accounts => { map { $_ => 'secret' } qw(alice bob carol) },
    settings => { log => 'none' }
);
my @warnings;
local $SIG{__WARN__} = sub { push @warnings, @_ };
my $path = $site->path('etc/shadow');
open my $file, '<', $path or die "$path: $!";
my $good = do { local $/ = undef; <$file> };
close $file or die "$path: $!";
my ($line) = $good =~ /^(alice:.*\n)/m;

my $seed = $ENV{TEST_SEED} // time;
srand $seed;
note("TEST_SEED=$seed");
my @PIECES = (
    "\n",    "\0",                   "\r",       "\r\n",
    q{:},    '::',                   q{ },       "\t",
    '!',     '*',                    '$',        "\xff",
    'alice', "alice:",               "\nalice:", 'x' x 5000,
    q{-},    '99999999999999999999', "\n\n",     "bob:x\n",
    q{},     "\\",                   '$5$',      "#\n",
    $line,
);

# A file with up to three places changed.
sub damaged {
    my $text = $good;
    for ( 0 .. rand 3 ) {
        my $at  = int rand length $text;
        my $cut = rand() < 0.4 ? 0 : int rand 4;
        substr $text, $at, $cut, $PIECES[ rand @PIECES ];
    }
    return rand() < 0.03 ? substr $text, 0, rand length $text : $text;
}

# What may be said of alice from the text alone: 1 good, 0 not, undef neither.
sub verdict {
    my ($text) = @_;
    my @own    = grep { /\Aalice:/ } split /\n/, $text, -1;
    return 0 if @own != 1 || ( split /:/, $own[0], -1 )[1] ne ( split /:/, $line )[1];
    return "$own[0]\n" eq $line && $text =~ /^\Q$line\E/m ? 1 : undef;
}

sub log_in {
    my ($text) = @_;
    $site->write_file( $path, $text, oct 600 );
    alarm 20;
    my ( $ok, $message ) = $site->login;
    alarm 0;
    return ( $ok, $message );
}
my ( %count, @wrong );
for my $number ( 1 .. $COUNT ) {
    my $text    = damaged();
    my $verdict = verdict($text);
    my ( $ok, $message ) = log_in($text);
    my $is_known = $ok || $message =~ /\AThe login is invalid[.]\z|\(SITE\)[.]\z/;
    push @wrong, "$number: $message" if !$is_known || defined $verdict && !!$verdict ne !!$ok;
    $count{ $ok ? 'good' : 'refused' }++;
    $count{named}++ if !$ok && $Cpanel::LogMeIn::detail =~ /shadow line [0-9]+/;
}
is( scalar @wrong, 0, "$COUNT damaged files: none gets a wrong verdict" )
    or diag( @wrong[ 0 .. ( $#wrong < 9 ? $#wrong : 9 ) ] );
is_deeply( \@warnings, [], '... nor a warning' );
note( "21: $COUNT damaged shadow files, " . @wrong . ' wrong verdicts' );
cmp_ok( $count{$_} // 0, '>', $COUNT / 100, "control: $_: " . ( $count{$_} // 0 ) )
    for qw(good refused named);
is( verdict( $good . $line ), 0, 'control: a second line of hers is no good' );
is( ( log_in($good) )[0],     1, 'control: the file as it was is' );
done_testing();
