#!/usr/bin/perl

# The judge of histories: good ones have no violation, bad ones the one that they were
# made for, also at the edges of the bound; and each part of its rules is needed.

use strict;
use warnings;
use lib     qw(t/lib xt/lib);
use Author  qw(read_file);
use History ();
use Test::More;

# An event from "KIND START END OUTCOME", with the usual session, ticket, client and
# browser unless there is another one.
sub event {
    my ( $text, %other ) = @_;
    my ( $kind, $start, $end, $outcome ) = split / /, $text;
    my %event = (
        kind    => $kind,
        start   => $start,
        end     => $end,
        outcome => $outcome,
        client  => 'one',
        session => 's',
        ticket  => 't',
        browser => 'b',
        %other
    );
    delete $event{session} if $kind eq 'login' || $kind eq 'redeem' && $outcome ne 'yes';
    delete $event{ticket}  if $kind eq 'check' || $kind eq 'logout';
    return \%event;
}

my @opened = ( event('login 0 1 yes'), event('redeem 1 2 yes') );
my @closed = ( @opened, event('logout 3 4 yes') );

my @good = (
    [ 'nothing',                [] ],
    [ 'a session that is used', [ @opened, event('check 2 3 yes'), event('check 90 91 yes') ] ],
    [ 'one that is ended',      [ @closed, event('check 4 5 no'),  event('check 20 21 no') ] ],
    [ 'a check that began during the logout', [ @closed, event('check 3.5 30 yes') ] ],
    [ 'a check at the bound', [ @closed, event('check 6 7 yes'), event('check 6.1 7 no') ] ],
    [ 'a fault long after a logout',     [ @closed, event('check 9 11 unknown') ] ],
    [ 'a session that was never ended',  [ @opened, event('check 9 11 unknown') ] ],
    [ 'a logout that may have happened', [ @opened, event('logout 3 5 unknown') ], ],
    [
        '... and has',
        [ @opened, event('logout 3 5 unknown'), event('check 4 4.5 no'), event('check 30 31 no') ]
    ],
    [ '... and has not', [ @opened, event('logout 3 5 unknown'), event('check 30 31 yes') ] ],
    [
        '... or happens later',
        [ @opened, event('logout 3 5 unknown'), event('check 6 7 yes'), event('check 7 8 no') ]
    ],
    [ 'a check during a logout',               [ @closed, event('check 3.5 3.6 no') ] ],
    [ 'a second logout during a logout',       [ @closed, event('logout 3.5 3.6 no') ] ],
    [ 'a second logout after it',              [ @closed, event('logout 5 6 no') ] ],
    [ 'two logouts at once',                   [ @closed, event('logout 3 5 yes') ] ],
    [ 'a check before the session was opened', [ @opened, event('check 1.5 1.6 no') ] ],
    [ 'another session is used on', [ @closed, event( 'check 20 21 yes', session => 'other' ) ] ],
    [ 'a browser that asks again',  [ @opened, event('redeem 3 4 yes') ] ],
    [
        'two browsers, and one is granted',
        [ @opened, event( 'redeem 1 3 no', browser => 'other' ), event('check 90 91 yes') ]
    ],
    [
        'a ticket that may have been redeemed',
        [ event('login 0 1 yes'), event('redeem 1 3 unknown'), event('redeem 2 3 no') ]
    ],
    [
        'two browsers, and one does not know',
        [ @opened, event( 'redeem 1 3 unknown', browser => 'other' ) ]
    ],
    [
        'a ticket of a login that was not acknowledged',
        [ event('login 0 1 unknown'), event('redeem 1 2 no') ]
    ],
    [
        'a redeem that was not acknowledged',
        [ event('login 0 1 yes'), event('redeem 1 2 unknown'), event('check 3 4 no') ]
    ],
    [ 'a ticket that is asked for before it was made', [ @opened, event('redeem 0 0.5 no') ] ],
);

my @bad = (
    [ 'a check right behind the bound', 'late', [ @closed, event('check 6.01 7 yes') ], 2.01 ],
    [
        '... which the first acknowledgement begins',                 'late',
        [ @closed, event('logout 5 6 yes'), event('check 7 8 yes') ], 3
    ],
    [ '... in any order of the events', 'late', [ reverse @closed, event('check 7 8 yes') ], 3 ],
    [
        '... though it is refused then',                            'late',
        [ @closed, event('check 7 8 yes'), event('check 8 9 no') ], 3
    ],
    [ '... and before', 'late', [ @closed, event('check 5 6 no'), event('check 7 8 yes') ], 3 ],
    [
        '... by another client',
        'late', [ @closed, event( 'check 7 8 yes', client => 'other' ) ], 3
    ],
    [
        '... though another logout is not known',                         'late',
        [ @closed, event('logout 4 9 unknown'), event('check 7 8 yes') ], 3
    ],
    [
        '... of which there are several',                            'late',
        [ @closed, event('check 9 9 yes'), event('check 7 8 yes') ], 5
    ],
    [ '... at the end of that time', 'late',   [ @closed, event('check 9 10 yes') ],    5 ],
    [ '... and behind it',           'undone', [ @closed, event('check 9.01 10 yes') ], 5.01 ],
    [
        '... once late, and once undone',                              'undone',
        [ @closed, event('check 7 8 yes'), event('check 24 25 yes') ], 20
    ],
    [
        '... beside one that began in time',                            'late',
        [ @closed, event('check 3.5 30 yes'), event('check 7 8 yes') ], 3
    ],
    [ 'a logout that finds an ended session', 'late', [ @closed, event('logout 7 8 yes') ], 3 ],
    [
        'a ticket of a session that has ended', 'undone', [ @closed, event('redeem 24 25 yes') ],
        20
    ],
    [ 'two browsers', 'double', [ @opened, event( 'redeem 1 2 yes', browser => 'other' ) ] ],
    [
        '... long after another',
        'double', [ @opened, event( 'redeem 50 60 yes', browser => 'other' ) ]
    ],
    [
        '... though a third does not know',
        'double',
        [
            @opened,
            event( 'redeem 1 2 yes',     browser => 'other' ),
            event( 'redeem 1 2 unknown', browser => 'third' )
        ]
    ],
    [
        '... without a login',
        'double', [ event('redeem 1 2 yes'), event( 'redeem 1 2 yes', browser => 'other' ) ]
    ],
    [
        'two sessions of one ticket',
        'double', [ @opened, event( 'redeem 3 4 yes', session => 'other' ) ]
    ],
    [ 'a session that is not there', 'lost', [ @opened, event('check 2 3 no') ] ],
    [ '... and still is not', 'lost', [ @opened, event('check 2 3 no'),  event('check 3 4 no') ] ],
    [ '... though it was',    'lost', [ @opened, event('check 2 3 yes'), event('check 3 4 no') ] ],
    [ '... when it is to be ended', 'lost',    [ @opened, event('logout 2 3 no') ] ],
    [ '... before it is ended',     'refused', [ @closed, event('check 2 3 no') ] ],
    [
        '... before that is not known',
        'lost', [ @opened, event('check 2 3 no'), event('logout 3 5 unknown') ]
    ],
    [
        '... though another was ended',
        'lost',
        [ @opened, event('check 5 6 no'), event( 'logout 2 3 unknown', session => 'other' ) ]
    ],
    [
        '... though a check is not known',
        'lost', [ @opened, event('check 2 3 unknown'), event('check 3 4 no') ]
    ],
    [
        '... though a redeem is not known',
        'lost', [ @opened, event('redeem 2 3 unknown'), event('check 3 4 no') ]
    ],
    [ '... for a while', 'refused', [ @opened, event('check 2 3 no'), event('check 3 4 yes') ] ],
    [ 'a ticket that is not there', 'lost', [ event('login 0 1 yes'), event('redeem 1 2 no') ] ],
    [
        '... before another redeems it',
        'refused', [ event('login 0 1 yes'), event('redeem 1 2 no'), event('redeem 2 3 yes') ]
    ],
    [
        '... before that is not known',
        'lost', [ event('login 0 1 yes'), event('redeem 1 2 no'), event('redeem 2 3 unknown') ]
    ],
    [
        '... though another ticket is redeemed',
        'lost',
        [
            event('login 0 1 yes'), event('redeem 1 2 no'),
            event( 'redeem 1 2 yes', ticket => 'other' )
        ]
    ],
);

# What a judge, by the name of its package, gets wrong.
sub wrong {
    my ($judge) = @_;
    my @wrong;
    for my $case ( ( map { [ $_->[0], q{}, $_->[1] ] } @good ), @bad ) {
        my ( $name, $rule, $events, $seconds ) = @{$case};
        my @found = $judge->can('violations')->( @{$events} );
        my $text  = join q{ }, map { $_->{rule} } @found;
        push @wrong, "$name: $text instead of $rule" if $text ne $rule;
        push @wrong, "$name: after $found[0]{seconds} s"
            if @found && defined $seconds && abs( $found[0]{seconds} - $seconds ) > 0.001;
    }
    return @wrong;
}
is_deeply( [ wrong('History') ], [], @good . ' good histories, ' . @bad . ' bad ones' );

my @all = History::violations( map { @{ $_->[2] } } @bad );
cmp_ok( scalar @all, '>', 0, 'all events together' );
is( scalar( grep { !/\A(?:session|ticket) [st] .* \w/ } map { $_->{text} } @all ),
    0, 'each violation has a sentence' );
is_deeply(
    History::counts( History::violations( @closed, event('check 9 9 yes') ), @all[ 1, 1 ] ),
    {
        undone  => 0,
        late    => 1,
        double  => 0,
        lost    => 0,
        refused => 0,
        seconds => 5,
        map { $_->{rule} => 2 } $all[1]
    },
    'they are counted'
) or diag( explain( \@all ) );
is_deeply(
    History::counts(),
    { undone => 0, late => 0, double => 0, lost => 0, refused => 0, seconds => 0 },
    '... and none, too'
);

# Controls: the judge with one part of a rule changed gets something wrong.
my $source = read_file('xt/lib/History.pm');
my $number = 0;

sub changed {
    my ( $from,    $to,   $nth ) = @_;
    my ( $package, $text, $at )  = ( 'History' . ++$number, $source, -1 );
    $at = index $text, $from, $at + 1 for 1 .. $nth // 1;
    die "no $from" if $at < 0;
    substr $text, $at, length $from, $to;
    $text =~ s/\Apackage History;/package $package;/ or die 'no package';
    eval "$text; 1" or die "$to: $@";    ## no critic (ProhibitStringyEval)
    return $package;
}
my @mutants = (
    [ '<= $BOUND',                                     '< $BOUND' ],
    [ '<= $BOUND',                                     '<= 2 * $BOUND' ],
    [ '$BOUND = 2',                                    '$BOUND = 1.9' ],
    [ '> $LONG',                                       '>= $LONG' ],
    [ '> $LONG',                                       '> 2 * $LONG' ],
    [ 'min( map { $_->{end} }',                        'List::Util::max( map { $_->{end} }' ],
    [ 'min( map { $_->{end} } _of( \'logout\'',        'min( map { $_->{start} } _of( \'logout\'' ],
    [ "_of( 'logout', 'yes', \@events )",              "_of( 'logout', 'yes unknown', \@events )" ],
    [ '$b->{start} <=> $a->{start}',                   '$a->{start} <=> $b->{start}' ],
    [ '$b->{start} <=> $a->{start}',                   '$b->{end} <=> $a->{end}' ],
    [ "_of( 'check logout redeem', 'yes', \@events )", "_of( 'check redeem', 'yes', \@events )" ],
    [ "_of( 'check logout redeem', 'yes', \@events )", "_of( 'check logout', 'yes', \@events )" ],
    [ "_of( 'check logout redeem', 'yes', \@events )", "_of( 'logout redeem', 'yes', \@events )" ],
    [ "_of( 'redeem', 'yes', \@events )",              "_of( 'redeem', 'yes unknown', \@events )" ],
    [ '@browsers < 2 && @sessions < 2',                '@browsers < 2' ],
    [ '@browsers < 2 && @sessions < 2',                '@sessions < 2' ],
    [ '@browsers < 2 && @sessions < 2',                '@granted < 2' ],
    [
        "_of( 'redeem', 'yes', \@events ) ) // return",
        "_of( 'redeem', 'yes no', \@events ) ) // 0"
    ],
    (
        map { [ "_of( 'logout',       'yes unknown',", "_of( $_," ] } (
            "'logout', 'yes'",
            "'logout', 'unknown'",
            "'logout', 'yes no unknown'",
            "'logout check', 'yes unknown'",
            "'logout redeem', 'unknown'"
        )
    ),
    [ '$refusal->{start} >= $acknowledged && ',     q{} ],
    [ '$refusal->{start} >= $acknowledged',         '$refusal->{start} > $acknowledged' ],
    [ '$_->{start} < $refusal->{end} } @{$ends}',   '1 } @{$ends}' ],
    [ '$_->{start} < $refusal->{end} } @{$ends}',   '$_->{end} < $refusal->{start} } @{$ends}' ],
    [ '{ $_->{outcome} eq \'no\' } @uses',          '{ 1 } @uses' ],
    [ '$_->{outcome} eq \'yes\' && $_->{start} >=', '$_->{start} >=' ],
    [ '$_->{start} >= $refused->{end} }',           '1 }' ],
    ( map { [ "_of( 'check logout', 'yes no',", "_of( $_, 'yes no'," ] } "'check'", "'logout'" ),
    [ q{$later ? 'refused' : 'lost'}, q{'lost'} ],
    [ q{$later ? 'refused' : 'lost'}, q{'refused'} ],
    [
        "_of( 'login', 'yes', \@events ) ) // return",
        "_of( 'login', 'yes unknown', \@events ) ) // return"
    ],
    [ "_of( 'redeem', 'yes unknown', \@events )", "_of( 'redeem', 'yes', \@events )" ],
    [ "_of( 'redeem', 'yes unknown', \@events )", "_of( 'redeem', 'unknown', \@events )" ],
    [ "_of( 'redeem', 'yes no',      \@events )", "_of( 'redeem', 'no', \@events )" ],
    [ '_refusal( $opened, \\@ends, @uses )',      '_refusal( 0, \\@ends, @uses )' ],
    [ '_refusal( $made, \\@redeems, @uses )',     '_refusal( 0, \\@redeems, @uses )' ],
);
for my $mutant (@mutants) {
    local $SIG{__WARN__} = sub { };
    my @wrong = wrong( changed( @{$mutant} ) );
    cmp_ok( scalar @wrong, '>', 0, "control: $mutant->[1] instead of $mutant->[0]" );
}
done_testing();
